"""Boundary: which image, and where its spots lie on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.transformations import Sequence, get_transformation
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._sdata._annotated import annotated_element
from stflow._sdata._scale import spots_mpp
from stflow._sdata._tables import Region, spot_centres
from stflow._validation import listing, require_key
from stflow.images import Level, as_rgb, find_colours


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
            raise KeyError(f"Pass `image_key=`, one of the images: {listing(names)}.")
        return names[0]
    require_key(image_key, sdata.images, what="image")
    return image_key


def get_pyramid(sdata: SpatialData, image_key: str) -> list[Level]:
    """Return the levels of an image, level 0 first, three colour channels each, unread."""
    image = sdata.images[image_key]
    if isinstance(image, DataTree):
        scales = [next(iter(scale.ds.data_vars.values())) for scale in image.children.values()]
        arrays = sorted(scales, key=lambda array: array.sizes["x"], reverse=True)
    else:
        arrays = [image]
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
        ``sdata.attrs["slide_properties"]["mpp"]`` says, else what the pitch of the spots of a
        known technology gives (not of a grid laid over the image).

    Raises
    ------
    KeyError
        The image, the spots' element or a spot is missing.
    ValueError
        The table annotates no element, the spots and the image share no coordinate system, the
        image is not 8-bit RGB, nothing tells its scale, or what does differs by more than 20 %
        from what the pitch of a known technology gives.
    """
    if not region.name:
        raise ValueError(
            "The table annotates no element, so its spots lie on no image; relate it to shapes "
            "with spatialdata.models.TableModel.parse."
        )
    name = resolve_image(sdata, image_key, region=region.name)
    levels = get_pyramid(sdata, name)
    affine = affine_to_image(sdata, region.name, name)
    centres = spot_centres(sdata, table, region) @ affine[:2, :2].T + affine[:2, 2]
    if isinstance(image_mpp, Mapping):
        require_key(region.name, image_mpp, what="`image_mpp` for region")
        image_mpp = image_mpp[region.name]
    mpp = spots_mpp(sdata, table, region, centres, image_mpp)
    return PlacedSpots(region, name, levels, centres, mpp)


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


def affine_to_image(sdata: SpatialData, spots_key: str, image_key: str) -> np.ndarray:
    """3 x 3 matrix from the spots' own coordinates to level-0 pixels, through a shared system."""
    spots = get_transformation(annotated_element(sdata, spots_key), get_all=True)
    image = get_transformation(sdata.images[image_key], get_all=True)
    shared = [system for system in spots if system in image]
    if not shared:
        raise ValueError(
            f"Spots {spots_key!r} (coordinate systems {listing(spots)}) and image {image_key!r} "
            f"({listing(image)}) share no coordinate system; relate them with "
            "spatialdata.transformations.set_transformation."
        )
    system = _keys.COORDINATE_SYSTEM if _keys.COORDINATE_SYSTEM in shared else shared[0]
    path = Sequence([spots[system], image[system].inverse()])
    return path.to_affine_matrix(("x", "y"), ("x", "y"))
