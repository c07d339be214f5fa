"""Pure arrays: levels of an image file that are read window by window, and coarser ones of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

CHUNK = 2048
MOST_HALVINGS = 3
TO_RGB = "Save it as 8-bit RGB; stflow reads the colours of the stain."
TO_EIGHT_BITS = (
    "Save it as 8-bit RGB, so that the scanner's white becomes 255: how many of the bits it used, "
    "the file does not say."
)

ReadWindow = Callable[[str, int, int, slice, slice], np.ndarray]


@dataclass(frozen=True, slots=True)
class LazyLevel:
    """What dask needs to know of an array, and how to read it.

    Parameters
    ----------
    path
        The file.
    modified_ns
        When the file last changed; tells two contents of one path apart.
    level
        Number of the level.
    shape
        Channels, height and width.
    read
        Takes path, time of change, level, rows and columns; gives pixels of shape
        (height, width, 3). Called from several threads at once.
    """

    path: str
    modified_ns: int
    level: int
    shape: tuple[int, int, int]
    read: ReadWindow

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a channel's value."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, window: tuple[Any, Any, Any]) -> np.ndarray:
        """Pixels of a window, channels first, as an array of its own.

        Raises
        ------
        OSError
            The file is damaged there.
        """
        channels, *inside = window
        (rows, in_rows), (columns, in_columns) = map(_span, inside, self.shape[1:])
        try:
            pixels = self.read(self.path, self.modified_ns, self.level, rows, columns)
        except Exception as error:
            raise OSError(f"Image {self.path} cannot be read: {error}") from error
        return np.array(np.moveaxis(pixels, -1, 0)[channels, in_rows, in_columns], order="C")


def _span(index: Any, size: int) -> tuple[slice, Any]:
    """Smallest span of an axis that holds what is indexed, and the index within that span."""
    if not isinstance(index, slice):
        places = np.arange(size)[index]
        low = int(np.min(places, initial=size))
        return slice(low, int(np.max(places, initial=low - 1)) + 1), places - low
    positions = range(size)[index]
    ends = (positions[0], positions[-1]) if positions else (0, -1)
    return slice(min(ends), max(ends) + 1), slice(None, None, positions.step)


def lazy_levels(
    path: str,
    modified_ns: int,
    sizes: Sequence[tuple[int, int]],
    read: ReadWindow,
    *,
    tile: tuple[int, int] | None = None,
) -> list[da.Array]:
    """Make lazy arrays of the levels of a file.

    Parameters
    ----------
    path, modified_ns, read
        As in `LazyLevel`.
    sizes
        Height and width of each level.
    tile
        Height and width of what the file decodes at once; chunks are whole tiles. None: the file
        has none.

    Returns
    -------
    The levels, each of shape (3, height, width), uint8.
    """
    chunks = (3, *(max(side, CHUNK // side * side) for side in tile or (CHUNK, CHUNK)))
    nothing = np.empty((0, 0, 0), dtype=np.uint8)
    levels = [
        LazyLevel(path, modified_ns, number, (3, *size), read) for number, size in enumerate(sizes)
    ]
    return [da.from_array(level, chunks=chunks, meta=nothing) for level in levels]


def count_halvings(height: int, width: int) -> int:
    """How often an image is halved: three times, or as often as its size allows."""
    return min(MOST_HALVINGS, min(height, width).bit_length() - 1)


def complete(levels: Sequence[da.Array]) -> list[da.Array]:
    """Add coarser levels to an image until they are coarse and small enough to look at whole.

    Each is computed from the level before, block by block.

    Parameters
    ----------
    levels
        The image and its coarser levels, each of shape (3, height, width).

    Returns
    -------
    The levels and their halvings: at least as coarse as `count_halvings` says, the last no larger
    than one chunk.
    """
    levels = list(levels)
    height, width = levels[0].shape[1:]
    enough = height >> count_halvings(height, width)
    while min(levels[-1].shape[1:]) > 1 and (
        levels[-1].shape[1] > enough or max(levels[-1].shape[1:]) > CHUNK
    ):
        levels.append(_halve(levels[-1]))
    return levels


def _halve(level: da.Array) -> da.Array:
    """Average 2 x 2 pixels; a last odd row or column is left out."""
    even = level[:, : level.shape[1] // 2 * 2, : level.shape[2] // 2 * 2]
    blocks = even.rechunk((3, CHUNK, CHUNK))
    chunks = (blocks.chunks[0], *(tuple(side // 2 for side in axis) for axis in blocks.chunks[1:]))
    half = da.map_blocks(_mean_of_four, blocks, chunks=chunks, dtype=level.dtype)
    return half.rechunk((3, CHUNK, CHUNK))


def _mean_of_four(block: np.ndarray) -> np.ndarray:
    sums = block[:, ::2].astype(np.uint16) + block[:, 1::2]
    return ((sums[:, :, ::2] + sums[:, :, 1::2] + 2) >> 2).astype(np.uint8)
