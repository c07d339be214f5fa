"""Pure arrays: how much light the slide takes away."""

from __future__ import annotations

import numpy as np

BRIGHTEST = 0.1


def density(pixels: np.ndarray) -> np.ndarray:
    """Optical density of an RGB image, against the brightest tenth of its pixels as glass.

    Parameters
    ----------
    pixels
        8-bit RGB, shape (3, height, width).

    Returns
    -------
    Of the same shape, at least 0. That of several inks or stains over each other is their sum.
    """
    light = pixels.astype(np.float32) + 1
    brightness = light.sum(axis=0)
    bright = brightness >= np.quantile(brightness, 1 - BRIGHTEST)
    glass = np.median(light[:, bright], axis=1)
    return np.maximum(0, -np.log10(light / glass[:, None, None]))
