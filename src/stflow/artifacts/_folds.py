"""Pure arrays: tissue that lies on itself, and is as dark as several layers."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from stflow.artifacts._pieces import reaching

SMOOTH_UM = 20.0
STAINED = 0.3
DENSE = 0.9
AWAY, STILL_AWAY = 1.6, 1.25


def find_folds(density: np.ndarray, tissue: np.ndarray, um: float) -> np.ndarray:
    """Which tissue is much darker than the densest tenth of this slide's tissue begins to be.

    Densities of layers add up. A pleat is three of them; what is sought are pieces that reach 1.6
    times the ninth decile somewhere and 1.25 times everywhere.

    Parameters
    ----------
    density
        Optical density, shape (3, height, width).
    tissue
        Where the tissue lies, shape (height, width).
    um
        Micrometres per pixel.

    Returns
    -------
    Booleans, shape (height, width).
    """
    total = ndimage.gaussian_filter(density.sum(axis=0), SMOOTH_UM / um)
    stained = total[tissue & (total > STAINED)]
    if not len(stained):
        return np.zeros(tissue.shape, dtype=bool)
    relative = np.where(tissue, total / np.quantile(stained, DENSE), 0)
    return reaching(relative, somewhere=AWAY, everywhere=STILL_AWAY)
