"""Polygons in GeoJSON, as QuPath and Space Ranger write them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import shapely
import shapely.geometry

from stflow._validation import listing
from stflow.io._outputs import open_text, reading

WHAT = "GeoJSON with a list of features"
POLYGONS = ("Polygon", "MultiPolygon")
TEXTS = (".geojson", ".json")
LEAST_CORNERS = 4  # of a triangle, whose first corner comes again at the end


def read_features(path: Path) -> list[dict[str, Any]]:
    """Read the features of a collection, a list of them, or a single one.

    Parameters
    ----------
    path
        The file, which may be gzipped, or zipped alone.

    Raises
    ------
    ValueError
        The file is something else.
    """
    with reading(path, WHAT), _open(path) as file:
        found = json.load(file)
        if isinstance(found, dict) and found.get("type") == "FeatureCollection":
            found = found["features"]
        features = found if isinstance(found, list) else [found]
        if not all(isinstance(each, dict) and each.get("type") == "Feature" for each in features):
            raise ValueError("not all of it are features")
    return features


def polygons_of(held: Sequence[Mapping[str, Any]], key: str = "geometry") -> np.ndarray:
    """Return the polygon of each feature, None where it has none or another geometry.

    Parameters
    ----------
    held
        Features, as :func:`read_features` gives them, or what else holds geometries.
    key
        Which of their geometries.

    Returns
    -------
    Shape (N,).

    Raises
    ------
    ValueError
        One says that it is a polygon, and is damaged.
    """
    found = np.full(len(held), None, dtype=object)
    rows, rings = [], []
    for row, each in enumerate(held):
        geometry = each.get(key)
        if not isinstance(geometry, dict) or geometry.get("type") not in POLYGONS:
            continue
        parts = geometry["coordinates"]
        if geometry["type"] == "Polygon" and len(parts) == 1 and len(parts[0]) >= LEAST_CORNERS:
            rows.append(row)
            rings.append(parts[0])
        else:
            found[row] = shapely.geometry.shape(geometry)
    if rows:
        found[rows] = _without_holes(rings)
    return found


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """Open the text of a file, or the only one of GeoJSON in a zip archive."""
    if not zipfile.is_zipfile(path):
        with open_text(path) as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(TEXTS)]
        if len(names) != 1:
            held = listing(archive.namelist())
            raise ValueError(f"the archive holds {held}, not a single file of GeoJSON")
        with archive.open(names[0]) as file:
            yield file


def _without_holes(rings: Sequence[Sequence[Sequence[float]]]) -> np.ndarray:
    """Make polygons of many rings at once, which is ten times faster than one by one."""
    points = np.array(list(chain.from_iterable(rings)), dtype=np.float64)
    of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    return shapely.polygons(shapely.linearrings(points[:, :2], indices=of))
