"""Pure arrays: pieces of a picture that reach a level somewhere and a lower one everywhere."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def reaching(values: np.ndarray, *, somewhere: float, everywhere: float) -> np.ndarray:
    """Which pixels belong to such a piece, booleans of the same shape."""
    pieces, count = ndimage.label(values > everywhere)
    reach = np.zeros(count + 1, dtype=bool)
    reach[pieces[values > somewhere]] = True
    return reach[pieces]
