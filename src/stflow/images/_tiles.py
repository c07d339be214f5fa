"""Pure arrays: square tiles around points, read block by block and resampled exactly.

Positions are continuous level-0 pixel coordinates, x then y: pixel (0, 0) covers [0, 1) x [0, 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stflow.images._ahead import map_ahead, read_ahead
from stflow.images._pyramid import Level, choose_level

BLOCK_PX = 2048
LARGEST_PX = 8192
WHITE = 255
BICUBIC_SUPPORT = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Where tiles lie on one level, in its pixels, x then y.

    ``corner`` (N, 2) and ``extent`` (2,) are the exact boxes; ``start`` and ``stop`` (N, 2) the
    whole pixels around them that the resampling kernel may touch. They depend on the tile alone,
    so a tile is the same bytes whatever else is read with it.
    """

    corner: np.ndarray
    extent: np.ndarray
    start: np.ndarray
    stop: np.ndarray


def outside(levels: Sequence[Level], centres: np.ndarray, *, size: float) -> np.ndarray:
    """Which tiles share no area with the image.

    Parameters
    ----------
    levels
        The pyramid, level 0 first.
    centres
        Tile centres in level-0 pixels, shape (N, 2).
    size
        Side of a tile in level-0 pixels.

    Returns
    -------
    Booleans, shape (N,).
    """
    before = centres + size / 2 <= 0
    beyond = centres - size / 2 >= levels[0].size
    return np.any(before | beyond, axis=1)


def read_tiles(
    levels: Sequence[Level],
    centres: np.ndarray,
    *,
    size: float,
    tile_px: int,
    batch_size: int = 32,
    num_workers: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a tile around each centre from the level nearest to the wanted scale.

    Tiles whose centres share a block of the level are cut from one read. What lies outside the
    image is white. Arguments are checked at once, pixels are read while iterating.

    Parameters
    ----------
    levels
        The pyramid, level 0 first, three channels each.
    centres
        Tile centres in level-0 pixels, shape (N, 2).
    size
        Side of a tile in level-0 pixels.
    tile_px
        Side of a tile in pixels of the result.
    batch_size
        Number of tiles to yield at a time.
    num_workers
        Number of threads that cut tiles, while one more reads the next block. 0: all in the
        calling thread.

    Yields
    ------
    Positions of the tiles in ``centres``, shape (n,), and the tiles, shape
    (n, tile_px, tile_px, 3), uint8. Every position comes once, in the order of reading.

    Raises
    ------
    ValueError
        A tile spans more pixels of the level than are read at once.
    """
    level = choose_level(levels, size / tile_px)
    windows = _windows(level, centres, size=size, tile_px=tile_px)
    widest = float(windows.extent.max())
    if widest > LARGEST_PX:
        raise ValueError(
            f"A tile spans {widest:.0f} pixels of the image's nearest level, more than the "
            f"{LARGEST_PX} that are read at once. Ask for smaller tiles, or give the image "
            "coarser levels (a multiscale image)."
        )
    tiles = _each_tile(level, windows, _blocks(level, centres), tile_px, num_workers)
    return _batches(tiles, batch_size)


def _windows(level: Level, centres: np.ndarray, *, size: float, tile_px: int) -> _Windows:
    scale = np.asarray(level.scale)
    corner = (centres - size / 2) / scale
    extent = size / scale
    margin = np.ceil(BICUBIC_SUPPORT * np.maximum(extent / tile_px, 1)).astype(int) + 1
    start = np.floor(corner).astype(int) - margin
    stop = np.ceil(corner + extent).astype(int) + margin
    return _Windows(corner, extent, start, stop)


def _blocks(level: Level, centres: np.ndarray) -> list[np.ndarray]:
    """Positions of the centres in each block, block after block.

    A block is a chunk of the image where chunks are larger than usual, as they are decoded whole.
    """
    chunk = getattr(level.data, "chunksize", (0, 0, 0))
    side = np.clip([chunk[2], chunk[1]], BLOCK_PX, LARGEST_PX)
    cell = np.floor(centres / np.asarray(level.scale) / side).astype(int)
    order = np.lexsort(cell.T)
    edges = np.flatnonzero(np.diff(cell[order], axis=0).any(axis=1)) + 1
    return np.split(order, edges)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Pixels (3, height, width) from ``origin`` on, and positions of the tiles cut from them."""

    members: np.ndarray
    origin: np.ndarray
    pixels: np.ndarray


def _each_tile(
    level: Level, windows: _Windows, groups: list[np.ndarray], tile_px: int, num_workers: int
) -> Iterator[tuple[int, np.ndarray]]:
    blocks = (_read(level, windows, members) for members in groups)
    if num_workers:
        blocks = read_ahead(blocks, depth=1)  # one is cut, one waits, one is read
    with closing(blocks):
        for block in blocks:

            def tile(i: int, block: _Block = block) -> tuple[int, np.ndarray]:
                return i, _tile(block, windows, i, tile_px)

            members = map(int, block.members)
            yield from map_ahead(tile, members, num_workers=max(1, num_workers))


def _read(level: Level, windows: _Windows, members: np.ndarray) -> _Block:
    """Read what the tiles of a block need, at once."""
    origin = np.clip(windows.start[members].min(axis=0), 0, level.size)
    end = np.clip(windows.stop[members].max(axis=0), 0, level.size)
    pixels = np.asarray(level.data[:, origin[1] : end[1], origin[0] : end[0]])
    return _Block(members, origin, pixels)


def _tile(block: _Block, windows: _Windows, i: int, tile_px: int) -> np.ndarray:
    window = _cut(block.pixels, windows.start[i] - block.origin, windows.stop[i] - block.origin)
    return _resample(window, windows.corner[i] - windows.start[i], windows.extent, tile_px)


def _cut(pixels: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return pixels from start to stop, x then y, channels last, white where that is outside."""
    width, height = stop - start
    window = np.full((height, width, 3), WHITE, dtype=np.uint8)
    limit = pixels.shape[:0:-1]
    (x0, y0), (x1, y1) = np.clip(start, 0, limit), np.clip(stop, 0, limit)
    left, top = start
    window[y0 - top : y1 - top, x0 - left : x1 - left] = np.moveaxis(pixels[:, y0:y1, x0:x1], 0, -1)
    return window


def _resample(
    window: np.ndarray, corner: np.ndarray, extent: np.ndarray, tile_px: int
) -> np.ndarray:
    if (extent == tile_px).all() and (corner == np.round(corner)).all():
        x, y = corner.astype(int)
        return window[y : y + tile_px, x : x + tile_px]
    box = (*corner.tolist(), *(corner + extent).tolist())
    image = Image.fromarray(window)
    return np.asarray(image.resize((tile_px, tile_px), Image.Resampling.BICUBIC, box=box))


def _batches(
    tiles: Iterator[tuple[int, np.ndarray]], batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while batch := [tile for _, tile in zip(range(batch_size), tiles, strict=False)]:
        yield np.array([i for i, _ in batch]), np.stack([tile for _, tile in batch])
