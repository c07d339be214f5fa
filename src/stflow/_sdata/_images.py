"""Boundary: which image, where its spots lie on it, how many micrometres a pixel measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.transformations import Sequence, get_transformation
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._sdata._pitch import PITCH_UM, lattice_pitch, require_agreement
from stflow._sdata._tables import Region, spot_centres
from stflow._validation import listing, require_key, require_positive
from stflow.images import Level, as_rgb


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
    pixels = [_colours(array, name=f"Image {image_key!r}") for array in arrays]
    _, height, width = pixels[0].shape
    return [Level(p, (width / p.shape[2], height / p.shape[1])) for p in pixels]


def _colours(array: DataArray, *, name: str) -> Any:
    channels = [str(channel).lower() for channel in array.coords["c"].to_numpy()]
    if {"r", "g", "b"} <= set(channels):
        array = array.isel(c=[channels.index(channel) for channel in "rgb"])
    return as_rgb(array.data, name=name)


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
        known technology gives.

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
    mpp = _scale(sdata, table, region, centres, image_mpp)
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
    require_key(spots_key, sdata.shapes, what="shapes element")
    spots = get_transformation(sdata.shapes[spots_key], get_all=True)
    image = get_transformation(sdata.images[image_key], get_all=True)
    shared = [system for system in spots if system in image]
    if not shared:
        raise ValueError(
            f"Shapes {spots_key!r} (coordinate systems {listing(spots)}) and image {image_key!r} "
            f"({listing(image)}) share no coordinate system; relate them with "
            "spatialdata.transformations.set_transformation."
        )
    system = _keys.COORDINATE_SYSTEM if _keys.COORDINATE_SYSTEM in shared else shared[0]
    path = Sequence([spots[system], image[system].inverse()])
    return path.to_affine_matrix(("x", "y"), ("x", "y"))


def _properties(sdata: SpatialData) -> Mapping[str, Any]:
    return sdata.attrs.get(_keys.SLIDE_PROPERTIES) or {}


def recorded_mpp(sdata: SpatialData) -> float | None:
    """Micrometres per full-resolution pixel, where the slide says it."""
    return _properties(sdata).get("mpp")


def image_scale(sdata: SpatialData, image_key: str, image_mpp: float | None) -> float:
    """Micrometres per full-resolution pixel: what is given, else what the slide says.

    Raises
    ------
    ValueError
        Nothing tells the scale, or it is no positive number.
    """
    mpp = image_mpp if image_mpp is not None else recorded_mpp(sdata)
    if mpp is None:
        raise ValueError(
            f"Nothing tells the scale of image {image_key!r}. Pass `image_mpp=`, the micrometres "
            "per full-resolution pixel."
        )
    require_positive(mpp, name="image_mpp")
    return float(mpp)


def _scale(
    sdata: SpatialData,
    table: AnnData,
    region: Region,
    centres: np.ndarray,
    image_mpp: float | None,
) -> float:
    """Micrometres per pixel, refused when the spots of a known technology contradict it."""
    mpp = image_mpp if image_mpp is not None else recorded_mpp(sdata)
    if mpp is None:
        return _mpp_from_pitch(sdata, table, region, centres)
    require_positive(mpp, name="image_mpp")
    pitch_um = _pitch_um(sdata, table, region)
    on_array = {"array_row", "array_col"} <= set(table.obs)
    if pitch_um is not None and on_array and len(centres) > 1:
        pitch = lattice_pitch(centres)
        if pitch is not None:
            recorded = f"sdata.attrs[{_keys.SLIDE_PROPERTIES!r}]"
            name = recorded if image_mpp is None else "`image_mpp=`"
            source = f"the pitch of the spots ({pitch_um:g} um)"
            require_agreement(mpp, pitch_um / pitch, said_by=name, measured_by=source)
    return float(mpp)


def _pitch_um(sdata: SpatialData, table: AnnData, region: Region) -> float | None:
    """Distance of neighbouring spots as the technology has it, None where it is not known."""
    properties = _properties(sdata)
    technology = str(properties.get("technology") or "").lower()
    if not technology and _is_visium(table, region):
        technology = "visium"
    return PITCH_UM.get(technology, properties.get("pitch_um"))


def _mpp_from_pitch(
    sdata: SpatialData, table: AnnData, region: Region, centres: np.ndarray
) -> float:
    pitch_um = _pitch_um(sdata, table, region)
    hint = "Pass `image_mpp=`, the micrometres per full-resolution pixel."
    if pitch_um is None or len(centres) < 2:
        raise ValueError(f"Nothing tells the scale of the image of region {region.name!r}. {hint}")
    pitch = lattice_pitch(centres)
    if pitch is None:
        raise ValueError(
            f"The spots of region {region.name!r} form no regular lattice, so their pitch does "
            f"not tell the scale of the image. {hint}"
        )
    return pitch_um / pitch


def _is_visium(table: AnnData, region: Region) -> bool:
    """Whether the array positions are those of a hexagonal Visium array."""
    if not {"array_row", "array_col"} <= set(table.obs):
        return False
    row, col = table.obs[["array_row", "array_col"]].to_numpy()[region.rows].T
    return bool(((row + col) % 2 == 0).all()) and len(np.unique(row % 2)) == 2
