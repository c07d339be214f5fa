"""Boundary: what is marked on a slide, as polygons by kind, and how much of each spot it covers."""

from __future__ import annotations

from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import shapely
from spatialdata import SpatialData
from spatialdata.models import ShapesModel
from spatialdata.transformations import BaseTransformation

from stflow._sdata._annotated import annotated_shapes
from stflow._sdata._images import affine_to_image
from stflow._sdata._mended import made_whole
from stflow._sdata._systems import moved
from stflow._sdata.places._tissue import AREA, traced
from stflow._validation import listing, require_key

KIND = "kind"
HINT = "Find artifacts with `stf.pp.mask_artifacts` first."
SIMPLE = 200
AT_ONCE = 50_000


def marked_element(
    masks: Mapping[str, np.ndarray],
    scale: tuple[float, float],
    *,
    mpp: float,
    transformations: Mapping[str, BaseTransformation],
) -> gpd.GeoDataFrame:
    """Make a shapes element with a row for each kind, empty where there is none of it.

    Parameters
    ----------
    masks
        Where each kind lies, booleans, shape (height, width).
    scale
        Image pixels per pixel of the masks along x and along y.
    mpp
        Micrometres per image pixel.
    transformations
        Where the image, and hence what is on it, lies in each coordinate system.

    Returns
    -------
    Polygons of several pieces in pixels of the image, with ``"kind"`` and ``"area_um2"``.
    """
    found = []
    for mask in masks.values():
        pieces = shapely.simplify(traced(mask.astype(np.int32), scale), max(scale))
        found.append(pieces[0] if len(pieces) else shapely.MultiPolygon())
    columns = {KIND: list(masks), AREA: shapely.area(found) * mpp**2}
    frame = gpd.GeoDataFrame(columns, geometry=found)
    return ShapesModel.parse(frame, transformations=dict(transformations))


def marked_in_pixels(
    sdata: SpatialData, key: str, image_key: str, *, what: str
) -> dict[str, shapely.Geometry]:
    """Return what shapes cover by their kind, in full-resolution pixels of an image.

    Parameters
    ----------
    sdata, key, image_key
        Where they are; their column ``"kind"`` tells the kinds. Without it, all are of one, ``""``.
    what
        The argument that names them.

    Raises
    ------
    KeyError
        There are no such shapes.
    ValueError
        They are no polygons, or share no coordinate system with the image.
    """
    require_key(key, sdata.shapes, what=f"shapes element for `{what}=`", hint=HINT)
    frame = sdata.shapes[key]
    odd = set(frame.geom_type) - {"Polygon", "MultiPolygon"}
    if odd:
        raise ValueError(
            f"Shapes {key!r}, for `{what}=`, hold {listing(sorted(odd))}; expected polygons. {HINT}"
        )
    matrix = affine_to_image(sdata, key, image_key)
    kinds = frame[KIND].astype(str).to_numpy() if KIND in frame else np.full(len(frame), "")
    shapes = made_whole(frame.geometry.to_numpy())
    return {
        str(kind): shapely.transform(
            shapely.union_all(shapes[kinds == kind]), lambda xy: moved(xy, matrix)
        )
        for kind in dict.fromkeys(kinds)
    }


def shapes_in_pixels(
    sdata: SpatialData, name: str, instances: np.ndarray, image_key: str
) -> np.ndarray:
    """Outlines of spots in full-resolution pixels of an image, shape (N,).

    Circles become polygons of 32 corners. Errors are those of `annotated_shapes` and of
    `affine_to_image`.
    """
    matrix = affine_to_image(sdata, name, image_key)
    spots = spot_outlines(annotated_shapes(sdata, name, instances))
    return shapely.transform(spots, lambda xy: moved(xy, matrix))


def spot_outlines(spots: gpd.GeoDataFrame) -> np.ndarray:
    """Outlines of spots in their own coordinates, shape (N,), circles as polygons."""
    outlines = spots.geometry.to_numpy()
    return shapely.buffer(outlines, spots["radius"].to_numpy()) if "radius" in spots else outlines


def covered_shares(spots: np.ndarray, cover: shapely.Geometry) -> np.ndarray:
    """How much of the area of each spot is covered, from 0 to 1, shape (N,).

    Parameters
    ----------
    spots
        Polygons, shape (N,).
    cover
        A polygon, of one piece or several.
    """
    parts = np.array(_split(cover), dtype=object)
    covered = np.zeros(len(spots))
    if not len(parts):
        return covered
    tree = shapely.STRtree(parts)
    for first in range(0, len(spots), AT_ONCE):
        some = spots[first : first + AT_ONCE]
        spot, part = tree.query(some, predicate="intersects")
        shared = shapely.area(shapely.intersection(some[spot], parts[part]))
        covered[first : first + AT_ONCE] = np.bincount(spot, shared, len(some))
    areas = shapely.area(spots)
    return np.clip(np.divide(covered, areas, where=areas > 0, out=np.zeros(len(spots))), 0, 1)


def _split(cover: shapely.Geometry) -> list[shapely.Geometry]:
    """Cut a polygon into parts of few corners, which are quick to intersect."""
    if cover.is_empty:
        return []
    if shapely.get_num_coordinates(cover) <= SIMPLE:
        return [cover]
    left, top, right, bottom = cover.bounds
    if right - left > bottom - top:
        middle = (left + right) / 2
        halves = (left, top, middle, bottom), (middle, top, right, bottom)
    else:
        middle = (top + bottom) / 2
        halves = (left, top, right, middle), (left, middle, right, bottom)
    return [part for half in halves for part in _split(shapely.clip_by_rect(cover, *half))]
