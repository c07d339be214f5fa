"""Boundary: which image, its pyramid, and the way from spots to its pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from spatialdata import SpatialData
from spatialdata.transformations import Sequence
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._sdata._annotated import annotated_element
from stflow._sdata._systems import (
    choose_system,
    image_places,
    matrix_of,
    place_in,
    places_of,
    shared_systems,
)
from stflow._validation import listing, require_key
from stflow.images import Level, as_rgb, find_colours

ATTACH = (
    "Read one, as with `stf.io.read_wsi`; wsidata shows the slide that it opened with "
    "`open_wsi(..., attach_images=True)`."
)


def resolve_image(
    sdata: SpatialData, image_key: str | Mapping[str, str] | None, *, region: str = ""
) -> str:
    """Return the name of the image that a region lies on.

    Parameters
    ----------
    sdata
        Holds the images.
    image_key
        The name, or the name for each region, or None for the only image there is.
    region
        The region to look up when there is a name for each.

    Raises
    ------
    KeyError
        No such image, several to choose from, or none given for the region.
    """
    if isinstance(image_key, Mapping):
        require_key(region, image_key, what="`image_key` for region")
        image_key = image_key[region]
    if image_key is None:
        names = list(sdata.images)
        if len(names) != 1:
            hint = "" if names else f" {ATTACH}"
            raise KeyError(f"Pass `image_key=`, one of the images: {listing(names)}.{hint}")
        return names[0]
    require_key(image_key, sdata.images, what="image")
    return image_key


def image_levels(sdata: SpatialData, image_key: str) -> list[DataArray]:
    """Return the levels of an image, the finest first, whatever its channels."""
    image = sdata.images[image_key]
    if not isinstance(image, DataTree):
        return [image]
    scales = [next(iter(scale.ds.data_vars.values())) for scale in image.children.values()]
    return sorted(scales, key=lambda array: array.sizes["x"], reverse=True)


def get_pyramid(sdata: SpatialData, image_key: str) -> list[Level]:
    """Return the levels of an image, level 0 first, three colour channels each, unread."""
    arrays = image_levels(sdata, image_key)
    name = f"Image {image_key!r}"
    pixels = [as_rgb(array.data, name=name, channels=_channels(array)) for array in arrays]
    _, height, width = pixels[0].shape
    return [Level(p, (width / p.shape[2], height / p.shape[1])) for p in pixels]


def colour_channels(array: DataArray) -> DataArray:
    """Return red, green and blue of an image, by the rule of `as_rgb`.

    An image of other channels is returned as it is.
    """
    colours = find_colours(_channels(array))
    if colours is None:
        return array
    rgb = array.isel(c=list(colours.places))
    if colours.alpha is None or array.dtype != np.uint8:
        return rgb
    return rgb.copy(data=as_rgb(array.data, name="The image", channels=_channels(array)))


def _channels(array: DataArray) -> list[str]:
    return [str(channel) for channel in array.coords["c"].to_numpy()]


def affine_to_image(
    sdata: SpatialData,
    spots_key: str,
    image_key: str,
    *,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
) -> np.ndarray:
    """3 x 3 matrix from the spots' own coordinates to level-0 pixels, through a shared system."""
    spots = places_of(annotated_element(sdata, spots_key))
    image = image_places(sdata, image_key)
    shared = shared_systems(spots, image)
    if not shared:
        raise ValueError(
            f"Spots {spots_key!r} (coordinate systems {listing(spots)}) and image {image_key!r} "
            f"({listing(image)}) share no coordinate system; relate them with "
            "spatialdata.transformations.set_transformation."
        )
    system = choose_system(shared, coordinate_system)
    ways = place_in(spots, system, spots_key), place_in(image, system, image_key).inverse()
    return matrix_of(Sequence(list(ways)))
