"""Boundary: tissue as polygons, from a mask and back, in pixels of an image."""

from __future__ import annotations

from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import shapely
from spatialdata import SpatialData
from spatialdata.models import ShapesModel
from spatialdata.transformations import BaseTransformation

from stflow._sdata._images import affine_to_image
from stflow._sdata._systems import moved
from stflow._validation import listing, require_key

HINT = "Find the tissue with `stf.pp.detect_tissue` first."
AREA = "area_um2"


def tissue_element(
    mask: np.ndarray,
    scale: tuple[float, float],
    *,
    mpp: float,
    transformations: Mapping[str, BaseTransformation],
) -> gpd.GeoDataFrame:
    """Make a shapes element of the pieces of tissue in a mask.

    Parameters
    ----------
    mask
        Number of the piece that each pixel belongs to, 0 for none, shape (height, width).
    scale
        Image pixels per pixel of the mask along x and along y.
    mpp
        Micrometres per image pixel.
    transformations
        Where the image, and hence the tissue, lies in each coordinate system.

    Returns
    -------
    Polygons in pixels of the image, largest first, with their area in ``"area_um2"``. Their
    outline is that of the mask to within a pixel of it.
    """
    pieces = shapely.simplify(traced(mask, scale), max(scale))
    areas = shapely.area(pieces) * mpp**2
    order = np.argsort(-areas, kind="stable")
    frame = gpd.GeoDataFrame({AREA: areas[order]}, geometry=pieces[order])
    return ShapesModel.parse(frame, transformations=dict(transformations))


def traced(mask: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """One geometry for each number in a mask: the union of its runs of pixels."""
    steps = np.diff(np.pad(mask > 0, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, stops = np.nonzero(steps == -1)
    x, y = scale
    boxes = shapely.box(starts * x, rows * y, stops * x, (rows + 1) * y)
    numbers = mask[rows, starts]
    return np.array([shapely.union_all(boxes[numbers == each]) for each in np.unique(numbers)])


def tissue_in_pixels(sdata: SpatialData, tissue_key: str, image_key: str) -> shapely.Geometry:
    """Return the union of all tissue, in full-resolution pixels of an image.

    Raises
    ------
    KeyError
        There is no such element.
    ValueError
        It holds something other than polygons, nothing at all, or shares no coordinate system
        with the image.
    """
    require_key(tissue_key, sdata.shapes, what="shapes element", hint=HINT)
    pieces = sdata.shapes[tissue_key].geometry
    odd = set(pieces.geom_type) - {"Polygon", "MultiPolygon"}
    if odd or pieces.is_empty.all():
        what = listing(sorted(odd)) if odd else "nothing"
        raise ValueError(f"Shapes {tissue_key!r} hold {what}; tissue is polygons. {HINT}")
    matrix = affine_to_image(sdata, tissue_key, image_key)
    union = shapely.union_all(shapely.make_valid(pieces.to_numpy()))
    return shapely.transform(union, lambda xy: moved(xy, matrix))
