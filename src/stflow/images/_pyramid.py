"""Pure arrays: an image as a list of ever coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 0.01


class Level(NamedTuple):
    """One resolution of an image.

    Parameters
    ----------
    data
        Pixels, shape (c, y, x): anything that slices like an array, dask and zarr included.
    scale
        Level-0 pixels per pixel of this level along x and along y.
    """

    data: Any
    scale: tuple[float, float]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of this level."""
        return self.data.shape[2], self.data.shape[1]


def as_rgb(data: Any, *, name: str) -> Any:
    """Return the three colour channels of an RGB or RGBA image, without reading it.

    Parameters
    ----------
    data
        Pixels, shape (c, y, x).
    name
        What messages call the image.

    Raises
    ------
    ValueError
        The array is not a uint8 image with 3 or 4 channels and at least one pixel.
    """
    if data.ndim != 3 or data.shape[0] not in (3, 4) or 0 in data.shape:
        raise ValueError(
            f"{name} has shape {tuple(data.shape)}; expected (c, y, x) with 3 (RGB) or 4 (RGBA) "
            "channels."
        )
    if data.dtype != np.uint8:
        raise ValueError(f"{name} holds {data.dtype}; expected uint8 pixels from 0 to 255.")
    return data[:3]


def choose_level(levels: Sequence[Level], wanted: float) -> Level:
    """Return the coarsest level that is at least as fine as wanted.

    Parameters
    ----------
    levels
        The pyramid, level 0 first.
    wanted
        Level-0 pixels per wanted pixel: um per wanted pixel over um per level-0 pixel. A level
        up to 1 % coarser than that will do.

    Returns
    -------
    The level, which is level 0 when every level is too coarse.
    """
    fine = [level for level in levels if max(level.scale) <= wanted * (1 + TOLERANCE)]
    return max(fine, key=lambda level: max(level.scale), default=levels[0])
