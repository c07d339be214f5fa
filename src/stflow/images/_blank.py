"""Pure arrays: which tiles show nothing."""

from __future__ import annotations

import numpy as np

CONTRAST = 10.0
COLOUR = 60.0
LOOKED_AT_PX = 32


def is_blank(tiles: np.ndarray) -> np.ndarray:
    """Which tiles show nothing: bare glass, the white outside an image, or its black padding.

    Such tiles are of one colour, and that hardly one. On real slides, the values of a channel
    have a standard deviation of 0 to 9 levels over glass, and of 12 or more over tissue.

    Parameters
    ----------
    tiles
        RGB pixels, uint8, shape (n, height, width, 3).

    Returns
    -------
    Booleans, shape (n,).
    """
    step = max(1, min(tiles.shape[1:3]) // LOOKED_AT_PX)
    pixels = np.moveaxis(tiles[:, ::step, ::step], -1, 1)
    channels = np.ascontiguousarray(pixels, dtype=np.float32)
    contrast = channels.std(axis=(2, 3)).max(axis=-1)
    colour = np.ptp(channels.mean(axis=(2, 3)), axis=-1)
    return (contrast < CONTRAST) & (colour < COLOUR)
