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
    return looks_blank(channels.mean(axis=(2, 3)), channels.std(axis=(2, 3)))


def looks_blank(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Which tiles show nothing, by mean and standard deviation of their channels, shape (n, 3)."""
    return (deviation.max(axis=-1) < CONTRAST) & (np.ptp(mean, axis=-1) < COLOUR)
