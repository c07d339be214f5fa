"""Pure arrays: an image as a list of ever coarser levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import dask.array as da
import numpy as np

from stflow._validation import listing
from stflow.images._colours import RGB, Colours, find_colours

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


def as_rgb(data: Any, *, name: str, channels: Sequence[object] | None = None) -> Any:
    """Return red, green and blue of an image, without reading it.

    What is transparent becomes white, the colour of glass.

    Parameters
    ----------
    data
        Pixels, shape (c, y, x).
    name
        What messages call the image.
    channels
        Names of the channels, which say what each of them is, see `find_colours`. None: they have
        none.

    Raises
    ------
    ValueError
        The array is not a uint8 image of colours with at least one pixel.
    """
    expected = "expected (c, y, x) with 3 (RGB) or 4 (RGBA) channels"
    if data.ndim != 3 or 0 in data.shape:
        raise ValueError(f"{name} has shape {tuple(data.shape)}; {expected}.")
    names = [str(channel) for channel in (range(data.shape[0]) if channels is None else channels)]
    colours = find_colours(names)
    if colours is None:
        raise ValueError(
            f"{name} has shape {tuple(data.shape)} and the channels {listing(names)}; {expected}: "
            "stflow reads the colours of a stain, not fluorescence. Channels that are red, green "
            "and blue must be called 'r', 'g' and 'b' (`sdata.set_channel_names`)."
        )
    if data.dtype != np.uint8:
        raise ValueError(f"{name} holds {data.dtype}; expected uint8 pixels from 0 to 255.")
    if colours.alpha is not None:
        return _on_white(data, colours)
    return data if colours == RGB and len(names) == 3 else data[list(colours.places)]


def _on_white(data: Any, colours: Colours) -> da.Array:
    """Lay an image on white, block by block."""

    def lay(block: np.ndarray) -> np.ndarray:
        return np.moveaxis(colours.on_white(np.moveaxis(block, 0, -1)), -1, 0)

    blocks = da.asarray(data).rechunk({0: -1})
    return da.map_blocks(lay, blocks, chunks=(3, *blocks.chunks[1:]), dtype=np.uint8)


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
