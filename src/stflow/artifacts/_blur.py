"""Pure arrays: tissue without the fine detail that the rest of the slide has."""

from __future__ import annotations

import dask.array as da
import numpy as np
from scipy import ndimage

COARSER = 4
TILE_UM = 64.0
BLOCK_PX = 1024
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
SMOOTH_TILES = 0.8
SHARP = 0.9
LOST = 0.2
NOTHING = 1.0


def detail(pixels: da.Array, um: float) -> tuple[np.ndarray, int]:
    """How much an image varies from pixel to pixel, and from block of 4 x 4 to block, by tile.

    The measure of both is the variance of the Laplacian of the luminance.

    Parameters
    ----------
    pixels
        8-bit RGB, shape (3, height, width), read block by block.
    um
        Micrometres per pixel.

    Returns
    -------
    Array of shape (2, tiles down, tiles across), and pixels along a tile. What is left at the
    right and lower edge, less than a tile, is not looked at.
    """
    tile = COARSER * max(2, round(TILE_UM / um / COARSER))
    height, width = (side // tile for side in pixels.shape[1:])
    block = tile * max(1, BLOCK_PX // tile)
    blocks = pixels[:, : height * tile, : width * tile].rechunk((3, block, block))
    down, across = (tuple(side // tile for side in sides) for sides in blocks.chunks[1:])
    found = da.map_blocks(
        _detail,
        blocks,
        tile=tile,
        chunks=((2,), down, across),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), dtype=np.float32),
    )
    return found.compute(), tile


def _detail(block: np.ndarray, tile: int) -> np.ndarray:
    fine = np.tensordot(LUMINANCE, block.astype(np.float32), axes=1)
    coarse = _tiles(fine, COARSER).mean(axis=(1, 3))
    return np.stack(
        [
            _tiles(ndimage.laplace(each), side).var(axis=(1, 3))
            for each, side in ((fine, tile), (coarse, tile // COARSER))
        ]
    )


def _tiles(image: np.ndarray, side: int) -> np.ndarray:
    height, width = image.shape
    return image.reshape(height // side, side, width // side, side)


def find_blur(detail: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Which tiles have lost four fifths of their fine detail, by what the slide's best have.

    The ratio of fine detail to coarse depends little on what the tissue is, and much on focus.
    It is compared with the ninth decile over the slide's tissue, so that up to four fifths of a
    slide may be out of focus; where all of it is, nothing tells.

    Parameters
    ----------
    detail
        Fine and coarse, shape (2, tiles down, tiles across).
    tissue
        Share of tissue in each tile, shape (tiles down, tiles across).

    Returns
    -------
    Booleans of that shape; False where a tile is less than half tissue and has no neighbour that
    is more.
    """
    known = (tissue > 0.5).astype(np.float64)
    fine, coarse = (ndimage.gaussian_filter(each * known, SMOOTH_TILES) for each in detail)
    weight = ndimage.gaussian_filter(known, SMOOTH_TILES)
    seen = coarse > NOTHING * weight
    ratio = np.divide(fine, coarse, where=seen, out=np.full(fine.shape, np.nan))
    inner = ratio[(known > 0) & seen]
    if not len(inner):
        return np.zeros(tissue.shape, dtype=bool)
    return seen & (weight > 0.1) & (ratio < LOST * np.quantile(inner, SHARP))
