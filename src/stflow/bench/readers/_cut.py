"""Tiles around spots, cut from an image into one array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stflow.images import Level, read_tiles

_BATCH = 64


def cut(levels: Sequence[Level], centres: np.ndarray, *, size: float, tile_px: int) -> np.ndarray:
    """Cut a square tile around each centre.

    Parameters
    ----------
    levels
        The pyramid, level 0 first.
    centres
        In level-0 pixels, x then y, shape (N, 2).
    size
        Side of a tile in level-0 pixels.
    tile_px
        Side of a tile in pixels of the result.

    Returns
    -------
    RGB tiles, uint8, shape (N, tile_px, tile_px, 3); white where they lie outside the image.
    """
    tiles = np.empty((len(centres), tile_px, tile_px, 3), dtype=np.uint8)
    if len(centres):
        batches = read_tiles(levels, centres, size=size, tile_px=tile_px, batch_size=_BATCH)
        for rows, pixels in batches:
            tiles[rows] = pixels
    return tiles
