"""Boundary: the scale that a slide records, brought to the pixels of one of its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._images import image_levels
from stflow._sdata._systems import image_places, matrix_of, moved, side_of_unit
from stflow._validation import CREDIBLE_MPP, is_credible_mpp

NAME = f"sdata.attrs[{_keys.SLIDE_PROPERTIES!r}]"
ALIKE = 0.02
BY_ARGUMENT = "argument"
SOURCES = {
    *(BY_ARGUMENT, "pitch of the spots", "alignment", "Space Ranger"),
    *("OME-XML", "ImageJ metadata", "resolution tags", "scanner"),
}
"""What readers of ours record of where they found a scale."""


class Told(NamedTuple):
    """What one source says of a scale.

    Parameters
    ----------
    mpp
        Micrometres per pixel, None where the source says nothing.
    source
        What messages call the source, or why it says nothing, a sentence, or ``""``.
    by_argument
        Whether somebody said it aloud, so that nothing overrules it.
    """

    mpp: float | None
    source: str = ""
    by_argument: bool = False


def properties(sdata: SpatialData) -> Mapping[str, Any]:
    """Return what the slide says of itself."""
    return sdata.attrs.get(_keys.SLIDE_PROPERTIES) or {}


def told_record(sdata: SpatialData) -> str:
    """Tell where the recorded scale was found, in words of ours alone."""
    source = properties(sdata).get("mpp_source")
    return f"from the slide's record ({source})" if source in SOURCES else "from the slide's record"


def image_size(sdata: SpatialData, image_key: str) -> tuple[int, int]:
    """Width and height of an image at its full resolution."""
    finest = image_levels(sdata, image_key)[0]
    return finest.sizes["x"], finest.sizes["y"]


def recorded_scale(sdata: SpatialData, image_key: str) -> Told:
    """Micrometres per pixel of an image, as the slide's record gives it.

    The record is of the slide's full-resolution image. It holds for an image of that size, and
    through the transformation to ``"global"`` for one that covers the slide, such as an overview,
    or is a part of it. Where it does not tell the size of its image, it holds for images of one
    size whose pixels are those of ``"global"``.

    Parameters
    ----------
    sdata, image_key
        The slide, and the name of its image.
    """
    record = _credible(properties(sdata).get("mpp"))
    if record.mpp is None:
        return record
    factor = _slide_pixels_per_pixel(sdata, image_key)
    if factor is not None:
        by_argument = properties(sdata).get("mpp_source") == BY_ARGUMENT
        return Told(record.mpp * factor, NAME, by_argument)
    shape = properties(sdata).get("shape")
    of = "the slide's image" if shape is None else f"an image of {shape[1]} x {shape[0]} pixels"
    width, height = image_size(sdata, image_key)
    return Told(
        None,
        f"{NAME} says {record.mpp:g} um per pixel of {of}, and nothing relates {image_key!r}, "
        f"{width} x {height} pixels, to it.",
    )


def _credible(value: Any) -> Told:
    """Take what is recorded as a scale, when it is one that a scanner has."""
    if value is None:
        return Told(None)
    try:
        mpp = float(value)
    except (TypeError, ValueError):
        mpp = np.nan
    if is_credible_mpp(mpp):
        return Told(mpp)
    low, high = CREDIBLE_MPP
    return Told(None, f"{NAME} says {value!r} um per pixel, which is not {low:g} to {high:g}.")


def _slide_pixels_per_pixel(sdata: SpatialData, image_key: str) -> float | None:
    """Pixels of the recorded image in one of this, None where the two cannot be related."""
    size = image_size(sdata, image_key)
    shape = properties(sdata).get("shape")
    if shape is not None and size == (shape[1], shape[0]):
        return 1.0
    places = image_places(sdata, image_key)
    if _keys.COORDINATE_SYSTEM not in places:
        return None
    matrix = matrix_of(places[_keys.COORDINATE_SYSTEM])
    factor = side_of_unit(matrix)
    if shape is None:
        alone = {image_size(sdata, key) for key in sdata.images} == {size}
        return factor if alone and abs(factor - 1) < ALIKE else None
    corners = moved(np.array([[0, 0], [0, size[1]], [size[0], 0], size]), matrix)
    slide = np.array([shape[1], shape[0]], dtype=float)
    return factor if _covers(corners, slide) else None


def _covers(corners: np.ndarray, size: np.ndarray) -> bool:
    """Whether a box is all of a slide, or a part that lies where it was cut out.

    A part that starts at the slide's corner may be an overview that nobody placed.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    slack = ALIKE * size
    whole = (np.abs(low) <= slack).all() and (np.abs(high - size) <= slack).all()
    inside = (low >= -1).all() and (high <= size + 1).all()
    return bool(whole or (inside and (low > 1).any()))
