"""Boundary: outlines of cells and the like: mended, in pixels of an image, one for each spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from spatialdata import SpatialData
from spatialdata.models import ShapesModel
from spatialdata.transformations import BaseTransformation

from stflow._sdata._build import PIXELS
from stflow._sdata._images import affine_to_image, get_pyramid
from stflow._sdata._mended import made_whole
from stflow._sdata._systems import image_places, moved, side_of_unit
from stflow._validation import listing, require_key, require_unique, warn

POLYGONS = {"Polygon", "MultiPolygon"}
READ_SOME = "Outlines that QuPath exported are read by `stf.io.read_qupath`."


def mend(polygons: np.ndarray, names: Sequence[object], *, what: str) -> np.ndarray:
    """Make polygons valid, so that each has an area and a centroid; holes stay.

    Parameters
    ----------
    polygons
        Shape (N,); None counts as empty.
    names
        What they are called, shape (N,).
    what
        What messages call them.

    Returns
    -------
    Polygons of one or several pieces, shape (N,). What has no area is empty.

    Warns
    -----
    UserWarning
        Some cross themselves and are mended.
    """
    whole = shapely.force_2d(np.where(shapely.is_missing(polygons), shapely.Polygon(), polygons))
    broken = ~shapely.is_valid(whole)
    whole[broken] = made_whole(whole[broken])
    whole[shapely.area(whole) == 0] = shapely.Polygon()
    mended = np.flatnonzero(broken & ~shapely.is_empty(whole))
    if len(mended):
        told = listing((names[int(row)] for row in mended), limit=3)
        warn(f"{len(mended)} of {len(whole)} {what} cross themselves and are mended: {told}.")
    return whole


def outlines(
    polygons: np.ndarray,
    names: Sequence[object],
    *,
    columns: Mapping[str, Any] | None = None,
    transformations: Mapping[str, BaseTransformation] = PIXELS,
) -> gpd.GeoDataFrame:
    """Make a shapes element of polygons.

    Parameters
    ----------
    polygons
        In pixels, shape (N,).
    names
        Index of the element, shape (N,).
    columns
        What else is known of each.
    transformations
        To each coordinate system.
    """
    frame = gpd.GeoDataFrame(dict(columns or {}), geometry=polygons, index=list(names))
    return ShapesModel.parse(frame, transformations=dict(transformations))


def outlines_on_image(sdata: SpatialData, shapes_key: str, image_key: str) -> gpd.GeoDataFrame:
    """Bring outlines to pixels of an image, so that each can be a spot of its own.

    Parameters
    ----------
    sdata, shapes_key, image_key
        The slide, and the names of polygons or circles and of an image.

    Returns
    -------
    A copy with the columns that there are, the names as text, and the image's transformations.

    Raises
    ------
    KeyError
        There are no such shapes.
    ValueError
        They are neither polygons nor circles, none has an area, two share a name, some lie outside
        the image, or they share no coordinate system with it.

    Warns
    -----
    UserWarning
        Some cross themselves and are mended; some have no area, or the centroid of another one,
        and are left out.
    """
    require_key(shapes_key, sdata.shapes, what="shapes element", hint=READ_SOME)
    found = sdata.shapes[shapes_key]
    what = f"shapes {shapes_key!r}"
    names = [str(name) for name in found.index]
    require_unique(names, what=f"names in {what}")
    matrix = affine_to_image(sdata, shapes_key, image_key)
    round_ones = are_circles(found, what=what)
    pixels = shapely.transform(found.geometry.to_numpy(), lambda points: moved(points, matrix))
    if round_ones:
        found = found.assign(radius=found["radius"] * side_of_unit(matrix))
    else:
        pixels = mend(pixels, names, what=what)
    found = gpd.GeoDataFrame(found.drop(columns=found.geometry.name), geometry=pixels)
    found.attrs = {}
    found = _apart(found.set_axis(names), what=what)
    require_on_image(found, sdata, image_key, what=what)
    return ShapesModel.parse(found, transformations=image_places(sdata, image_key))


def are_circles(found: gpd.GeoDataFrame, *, what: str) -> bool:
    """Whether shapes are circles; ``ValueError`` where they are neither circles nor polygons."""
    kinds = set(found.geom_type.dropna())
    if kinds == {"Point"} and "radius" in found:
        return True
    if kinds - POLYGONS:
        raise ValueError(
            f"The {what} hold {listing(sorted(kinds - POLYGONS))}; spots are polygons or circles."
        )
    return False


def require_on_image(
    found: gpd.GeoDataFrame, sdata: SpatialData, image_key: str, *, what: str
) -> None:
    """Raise ``ValueError`` where an outline, in pixels of an image, does not touch it.

    Parameters
    ----------
    found, what
        The outlines, and what messages call them.
    sdata, image_key
        The slide, and the name of the image.
    """
    width, height = get_pyramid(sdata, image_key)[0].size
    outside = ~found.geometry.intersects(shapely.box(0, 0, width, height)).to_numpy()
    if outside.any():
        left, top, right, bottom = found.total_bounds
        raise ValueError(
            f"{outside.sum()} of {len(found)} {what} lie outside image {image_key!r}, which is "
            f"{width} x {height} pixels: {listing(found.index[outside], limit=3)}. In its pixels "
            f"all of them reach from {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}. Where "
            "they were drawn on another image, or at another scale, relate the two with "
            "`spatialdata.transformations.set_transformation`; else leave these out."
        )


def _apart(found: gpd.GeoDataFrame, *, what: str) -> gpd.GeoDataFrame:
    """Leave out what cannot be a spot of its own."""
    empty = found.geometry.is_empty.to_numpy()
    centres = found.geometry.centroid
    twice = ~empty & (centres.x + 1j * centres.y).duplicated().to_numpy()
    for reason, bad in (("have no area", empty), ("have the centroid of another", twice)):
        if bad.any():
            told = listing(found.index[bad], limit=3)
            text = f"{bad.sum()} of {len(found)} {what} {reason}"
            if bad.all():
                raise ValueError(f"{text}: {told}. None is left to be a spot.")
            warn(f"{text} and are left out: {told}.")
    return found[~empty & ~twice]
