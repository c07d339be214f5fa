"""Boundary: where spots lie on their image, in pixels and micrometres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow._sdata._images import affine_to_image, get_pyramid, resolve_image
from stflow._sdata._systems import moved
from stflow._sdata._tables import (
    Region,
    get_regions,
    lies_on_element,
    require_element,
    spot_centres,
)
from stflow._sdata.places._scale import Lying, Scale, settle_scale
from stflow._validation import require_key, require_places
from stflow.images import Level


@dataclass(frozen=True, slots=True, eq=False)
class PlacedSpots:
    """The spots of one region on their image.

    Parameters
    ----------
    region
        The spots.
    image_key
        Name of the image.
    levels
        Its pyramid, level 0 first.
    centres_px
        Spot centres in level-0 pixels, x then y, shape (N, 2).
    mpp
        Micrometres per level-0 pixel.
    """

    region: Region
    image_key: str
    levels: list[Level]
    centres_px: np.ndarray
    mpp: float


def spots_on_image(
    sdata: SpatialData,
    table: AnnData,
    region: Region,
    *,
    image_key: str | Mapping[str, str] | None = None,
    image_mpp: float | Mapping[str, float] | None = None,
) -> PlacedSpots:
    """Place the spots of a region on their image, in pixels and micrometres.

    Parameters
    ----------
    sdata
        Holds the image and the spots.
    table
        The table whose rows the region names.
    region
        The spots.
    image_key
        Name of the image, or a name for each region. None: the only one.
    image_mpp
        Micrometres per level-0 pixel, or a number for each region. None: what
        ``sdata.attrs["slide_properties"]`` says of this image, unless the spots lie on the array
        of a known technology and contradict it; else what the pitch of such spots gives (not of a
        grid laid over the image).

    Raises
    ------
    KeyError
        The image, the spots' element or a spot is missing.
    ValueError
        The table annotates no element, the spots and the image share no coordinate system, the
        image is not 8-bit RGB, or nothing tells its scale.
    """
    require_element(region)
    name = resolve_image(sdata, image_key, region=region.name)
    levels = get_pyramid(sdata, name)
    spots = _lying(sdata, table, region, name)
    if isinstance(image_mpp, Mapping):
        require_key(region.name, image_mpp, what="`image_mpp` for region")
        image_mpp = image_mpp[region.name]
    mpp = settle_scale(sdata, name, image_mpp, [spots]).mpp
    return PlacedSpots(region, name, levels, spots.centres_px, mpp)


def measured_centres(
    data: SpatialData | AnnData,
    table: AnnData,
    regions: Sequence[Region],
    *,
    image_key: str | Mapping[str, str] | None,
    image_mpp: float | Mapping[str, float] | None,
) -> tuple[list[np.ndarray], str]:
    """Spot centres of each region, shape (N, 2), and their unit.

    It is ``"um"`` where they lie on an image, else ``"coordinates"``, those of the element or of
    ``.obsm["spatial"]``. Arguments and errors are those of `spots_on_image` and `spot_centres`.

    Raises
    ------
    ValueError
        An image or its scale is given where there is none, a coordinate is not finite, or two
        spots share a place.
    """
    in_um = lies_on_element(data, regions[0]) and len(data.images) > 0
    if not in_um and (image_key is not None or image_mpp is not None):
        raise ValueError(
            "`image_key=` and `image_mpp=` are of an image, but the spots lie on none, so their "
            "distances are in units of their coordinates. Pass a SpatialData whose table annotates "
            "shapes on an image, or leave them out."
        )
    found = []
    for region in regions:
        if in_um:
            coords = spot_centres_um(data, table, region, image_key=image_key, image_mpp=image_mpp)
        else:
            coords = spot_centres(data, table, region)
        require_places(coords, what=f"spots of {region.name}" if region.name else "spots")
        found.append(coords)
    return found, "um" if in_um else "coordinates"


def spot_centres_um(
    sdata: SpatialData,
    table: AnnData,
    region: Region,
    *,
    image_key: str | Mapping[str, str] | None = None,
    image_mpp: float | Mapping[str, float] | None = None,
) -> np.ndarray:
    """Spot centres of a region in micrometres from the image's corner, x then y, shape (N, 2).

    Arguments and errors are those of `spots_on_image`.
    """
    placed = spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp)
    return placed.centres_px * placed.mpp


def image_scale(sdata: SpatialData, image_key: str, image_mpp: float | None = None) -> float:
    """Micrometres per full-resolution pixel of an image; see `told_scale`."""
    return told_scale(sdata, image_key, image_mpp).mpp


def told_scale(sdata: SpatialData, image_key: str, image_mpp: float | None = None) -> Scale:
    """Scale of an image, whatever lies on it, and where it is from.

    Parameters
    ----------
    sdata, image_key
        The slide, and the name of its image.
    image_mpp
        What is given, or None for what the slide records and what spots on the image tell.

    Raises
    ------
    ValueError
        Nothing tells the scale, or what is given is no scale of a slide.
    """
    return settle_scale(sdata, image_key, image_mpp, list(_all_lying(sdata, image_key)))


def _all_lying(sdata: SpatialData, image_key: str) -> Iterator[Lying]:
    """Find the spots that lie on an image; a table that does not fit tells nothing of it."""
    for table in sdata.tables.values():
        for region in get_regions(table):
            try:
                yield _lying(sdata, table, region, image_key)
            except (KeyError, ValueError):
                continue


def _lying(sdata: SpatialData, table: AnnData, region: Region, image_key: str) -> Lying:
    matrix = affine_to_image(sdata, region.name, image_key)
    return Lying(table, region, moved(spot_centres(sdata, table, region), matrix))
