"""Boundary: a slide as pictures show it, in pixels of its image, and in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._images import affine_to_image, get_pyramid, resolve_image
from stflow._sdata._systems import moved
from stflow._sdata._tables import Region, spot_centres
from stflow._sdata.places import (
    marked_in_pixels,
    tissue_in_pixels,
    told_scale,
)
from stflow.images import average

MARGIN = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A slide in one plane: full-resolution pixels of its image, or its spots' own coordinates.

    Parameters
    ----------
    image_key, image, size
        Name of the image; the image itself, coarse, shape (h, w, 3); its full width and height.
        Without one, ``""`` and None.
    centres
        Middles of the spots, shape (N, 2); None without spots.
    tissue
        Outline of the tissue, None where it was not looked for.
    artifacts
        What lies on artifacts, by kind; empty where nobody looked.
    mpp, mpp_source
        Micrometres in a unit, None where nothing tells; and what tells, or why nothing does.
    """

    image_key: str = ""
    image: np.ndarray | None = None
    size: tuple[int, int] | None = None
    centres: np.ndarray | None = None
    tissue: shapely.Geometry | None = None
    artifacts: dict[str, shapely.Geometry] = field(default_factory=dict)
    mpp: float | None = None
    mpp_source: str = ""

    def window(self, *, whole: bool) -> tuple[float, float, float, float]:
        """Least x and y, greatest x and y of what to show: the whole image, or around the spots."""
        if self.centres is None or (whole and self.size is not None):
            width, height = self.size or (1, 1)
            return 0.0, 0.0, float(width), float(height)
        low, high = self.centres.min(axis=0), self.centres.max(axis=0)
        margin = MARGIN * float((high - low).max()) or 1.0
        return *(low - margin).tolist(), *(high + margin).tolist()


def read_canvas(
    sdata: SpatialData,
    table: AnnData | None,
    region: Region | None,
    *,
    image_key: str | None,
    image_mpp: float | None,
    n_pixels: int,
) -> Canvas:
    """Read the image at a coarse level, some ``n_pixels`` along its longer side, and what is on it.

    Parameters
    ----------
    sdata
        The slide.
    table, region
        Its spots, or None.
    image_key, image_mpp
        As `resolve_image` and `image_scale` take them. Without any image there is none to show.

    Raises
    ------
    KeyError
        There is no such image, or several to choose from.
    ValueError
        The image is no 8-bit colour image, or shares no coordinate system with the spots.
    """
    name = region.name if region is not None else ""
    if image_key is None and not len(sdata.images):
        centres = None if table is None or region is None else spot_centres(sdata, table, region)
        return Canvas(centres=centres)
    image_key = resolve_image(sdata, image_key, region=name)
    levels = get_pyramid(sdata, image_key)
    width, height = levels[0].size
    small = average(levels, max(width, height) / n_pixels)
    centres = None
    if table is not None and region is not None and name:
        matrix = affine_to_image(sdata, name, image_key)
        centres = moved(spot_centres(sdata, table, region), matrix)
    mpp, source = _scale(sdata, image_key, image_mpp)
    return Canvas(
        image_key=image_key,
        image=np.moveaxis(np.asarray(small.data), 0, 2),
        size=(width, height),
        centres=centres,
        tissue=_tissue(sdata, image_key),
        artifacts=_artifacts(sdata, image_key),
        mpp=mpp,
        mpp_source=source,
    )


def _scale(sdata: SpatialData, image_key: str, image_mpp: float | None) -> tuple[float | None, str]:
    try:
        found, source = told_scale(sdata, image_key, image_mpp)
    except ValueError as error:
        return None, str(error)
    return found, source


def _tissue(sdata: SpatialData, image_key: str) -> shapely.Geometry | None:
    """Return the outline of the tissue, None where there is none on this image."""
    if _keys.TISSUE not in sdata.shapes:
        return None
    try:
        return tissue_in_pixels(sdata, _keys.TISSUE, image_key)
    except ValueError:
        return None


def _artifacts(sdata: SpatialData, image_key: str) -> dict[str, shapely.Geometry]:
    if _keys.ARTIFACTS not in sdata.shapes:
        return {}
    try:
        return marked_in_pixels(sdata, _keys.ARTIFACTS, image_key, what="artifacts")
    except ValueError:
        return {}
