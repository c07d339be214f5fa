"""Pure arrays: pieces of a picture, by what they reach, and what lies near them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def reaching(values: np.ndarray, *, somewhere: float, everywhere: float) -> np.ndarray:
    """Which pixels belong to such a piece, booleans of the same shape."""
    pieces, count = ndimage.label(values > everywhere)
    reach = np.zeros(count + 1, dtype=bool)
    reach[pieces[values > somewhere]] = True
    return reach[pieces]


def near(mask: np.ndarray, *, within: float) -> np.ndarray:
    """Which pixels lie so near to the mask, in pixels; none where nothing is marked."""
    if not mask.any():
        return np.zeros_like(mask)
    return ndimage.distance_transform_edt(~mask) <= within
