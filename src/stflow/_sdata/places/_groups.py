"""Boundary: which spots belong together, by a column of the table or by shapes around them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pandas as pd
import shapely
from anndata import AnnData
from geopandas import GeoDataFrame
from spatialdata import SpatialData

from stflow._sdata._annotated import annotated_element
from stflow._sdata._mended import made_whole
from stflow._sdata._systems import (
    choose_system,
    matrix_of,
    moved,
    place_in,
    places_of,
    shared_systems,
)
from stflow._sdata._tables import Region, get_regions, lies_on_element, spot_centres
from stflow._validation import listing

Groups: TypeAlias = dict[str, np.ndarray]

NAMES = ("name", "classification", "kind")


def read_groups(
    data: SpatialData | AnnData, table: AnnData, by: str, *, coordinate_system: str, where: str
) -> Groups:
    """Return which rows of a table are of each group.

    Parameters
    ----------
    data, table
        The slide, and its table of N spots.
    by
        A column of ``.obs``, or shapes: a spot belongs to those that its centre lies in. Shapes are
        called by their ``"name"``, ``"classification"`` or ``"kind"``, the first that they have,
        or their index; those called alike are one group.
    coordinate_system
        Where spots and shapes meet.
    where
        What messages call the table.

    Raises
    ------
    KeyError
        There is no such column or element.
    ValueError
        There are both, or the shapes are no polygons, or no spot is of any group.
    """
    elements = data.shapes if isinstance(data, SpatialData) else {}
    if by in table.obs and by in elements:
        raise ValueError(
            f"{by!r} is a column of .obs in {where} as well as a shapes element. Rename one."
        )
    if by in table.obs:
        found = _of_column(table.obs[by])
    elif isinstance(data, SpatialData) and by in elements:
        found = _of_shapes(data, table, by, coordinate_system)
    else:
        raise KeyError(
            f"{by!r} is no column of .obs in {where}, which has {listing(table.obs.columns)}, and "
            f"no shapes element: {listing(elements)}. Draw regions in QuPath and read them with "
            "`stf.io.read_qupath`, or add a column."
        )
    if not any(rows.any() for rows in found.values()):
        raise ValueError(f"No spot of {where} is of any group by {by!r}: {listing(found)}.")
    return found


def _of_column(column: pd.Series) -> Groups:
    codes, values = pd.factorize(column)
    return {str(value): codes == code for code, value in enumerate(values)}


def _of_shapes(sdata: SpatialData, table: AnnData, key: str, system: str) -> Groups:
    frame = sdata.shapes[key]
    odd = set(frame.geom_type) - {"Polygon", "MultiPolygon"}
    if odd:
        raise ValueError(f"Shapes {key!r} hold {listing(sorted(odd))}; regions are polygons.")
    names = _names(frame)
    found = {name: np.zeros(table.n_obs, dtype=bool) for name in dict.fromkeys(names)}
    for region in get_regions(table):
        polygons, centres = _meet(sdata, table, region, key, system)
        tree = shapely.STRtree(shapely.points(centres))
        for name, polygon in zip(names, polygons, strict=True):
            found[name][region.rows[tree.query(polygon, predicate="intersects")]] = True
    return found


def _names(frame: GeoDataFrame) -> list[str]:
    """Call shapes by the first of their columns that says something, or else by their index."""
    columns = [frame[column].astype(object) for column in NAMES if column in frame]
    named = pd.Series(frame.index.astype(str), index=frame.index, dtype=object)
    for column in reversed(columns):
        named = column.where(column.notna(), named)
    return [str(name) for name in named]


def _meet(
    sdata: SpatialData, table: AnnData, region: Region, key: str, wanted: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bring shapes and the centres of a region's spots to one coordinate system."""
    if not lies_on_element(sdata, region):
        raise ValueError(
            f"The table annotates no element, so its spots lie in none of the shapes {key!r}. "
            "Relate it to its spots with spatialdata.models.TableModel.parse."
        )
    shapes, spots = (places_of(annotated_element(sdata, name)) for name in (key, region.name))
    shared = shared_systems(spots, shapes)
    if not shared:
        raise ValueError(
            f"Shapes {key!r} and spots {region.name!r} share no coordinate system: the ones are in "
            f"{listing(shapes)}, the others in {listing(spots)}."
        )
    system = choose_system(shared, wanted)
    of_shapes, of_spots = (
        matrix_of(place_in(places, system, name))
        for places, name in ((shapes, key), (spots, region.name))
    )
    whole = made_whole(sdata.shapes[key].geometry.to_numpy())
    polygons = shapely.transform(whole, lambda xy: moved(xy, of_shapes))
    return polygons, moved(spot_centres(sdata, table, region), of_spots)
