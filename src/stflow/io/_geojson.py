"""Polygons in GeoJSON, as QuPath and Space Ranger write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import shapely
import shapely.geometry

from stflow.io._outputs import open_text, reading

WHAT = "GeoJSON with a list of features"
POLYGONS = ("Polygon", "MultiPolygon")


def read_features(path: Path) -> list[dict[str, Any]]:
    """Read the features of a collection, a list of them, or a single one.

    Parameters
    ----------
    path
        The file, which may be gzipped.

    Raises
    ------
    ValueError
        The file is something else.
    """
    with reading(path, WHAT), open_text(path) as file:
        found = json.load(file)
        if isinstance(found, dict) and found.get("type") == "FeatureCollection":
            found = found["features"]
        features = found if isinstance(found, list) else [found]
        if not all(isinstance(each, dict) and each.get("type") == "Feature" for each in features):
            raise ValueError("not all of it are features")
    return features


def geometry(feature: dict[str, Any], key: str = "geometry") -> shapely.Geometry | None:
    """Return the polygon of a feature, None where it has none or another geometry.

    Parameters
    ----------
    feature
        As :func:`read_features` gives it.
    key
        Which of its geometries.

    Raises
    ------
    ValueError
        It says that it is one, and is damaged.
    """
    found = feature.get(key)
    if not isinstance(found, dict) or found.get("type") not in POLYGONS:
        return None
    return shapely.geometry.shape(found)
