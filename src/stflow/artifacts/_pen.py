"""Pure arrays: ink, whose colour no mixture of this slide's stains has."""

from __future__ import annotations

import warnings

import numpy as np
from scipy import ndimage
from sklearn.covariance import MinCovDet

from stflow.artifacts._pieces import near, reaching

SMOOTH_UM = 20.0
BRIDGED_UM, SPREAD_UM = 40.0, 15.0
FAINTEST = 0.2
STAINED = 0.3
FLOOR = 0.005
AWAY, STILL_AWAY = 6.0, 4.0
MOST_PIXELS = 5_000
FEWEST_PIXELS = 50

# Shares of red and of blue in the optical density of nearly pure stains.
HAEMATOXYLIN, EOSIN = np.array([0.42, 0.20]), np.array([0.06, 0.09])
MOST_RED, LEAST_GREEN, MOST_BLUE = 0.5, 0.35, 0.38


def find_pen(density: np.ndarray, tissue: np.ndarray, um: float) -> np.ndarray:
    """Which pixels have a colour that no mixture of this slide's stains has.

    The colour is the shares of the channels in the optical density. Tissue is described by a
    robust mean and covariance of those of its pixels that may be haematoxylin and eosin, the
    minimum covariance determinant, which a third of the tissue may lie outside of. A pixel is
    compared with the nearest mixture of the mean and either pure stain, so that a part with more
    of one stain than the rest is tissue. Gaps in what is found are bridged, and its rim, which
    smoothing spread, is taken off.

    Parameters
    ----------
    density
        Optical density, shape (3, height, width).
    tissue
        Where the tissue lies, shape (height, width). Ink is found beside it, too.
    um
        Micrometres per pixel.

    Returns
    -------
    Booleans, shape (height, width); all False where under 50 pixels of tissue are stained.
    """
    sigma = (0, SMOOTH_UM / um, SMOOTH_UM / um)
    smooth = ndimage.gaussian_filter(density, sigma)
    total = smooth.sum(axis=0)
    shares = np.stack([smooth[0], smooth[2]], axis=-1) / np.maximum(total, 1e-6)[..., None]
    stained = shares[tissue & (total > STAINED)]
    known = stained[_may_be_stain(stained)]
    if len(known) < FEWEST_PIXELS:
        return np.zeros(tissue.shape, dtype=bool)
    away = np.where(total > FAINTEST, _away(shares, known), 0)
    found = reaching(away, somewhere=AWAY, everywhere=STILL_AWAY)
    bridged = near(found, within=BRIDGED_UM / um)
    return ~near(~bridged, within=(BRIDGED_UM + SPREAD_UM) / um)


def _may_be_stain(shares: np.ndarray) -> np.ndarray:
    red, blue = shares.T
    return (red < MOST_RED) & (blue < MOST_BLUE) & (1 - red - blue > LEAST_GREEN)


def _away(shares: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Distance from the nearest mixture, in standard deviations of the slide's own tissue."""
    step = max(1, len(known) // MOST_PIXELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colours that lie on a line: FLOOR gives it a width
        fitted = MinCovDet(random_state=0).fit(known[::step])
    precision = np.linalg.inv(fitted.covariance_ + FLOOR**2 * np.eye(2))
    offset = shares - fitted.location_
    squares = [_square(offset, precision)]
    for stain in (HAEMATOXYLIN, EOSIN):
        towards = stain - fitted.location_
        along = offset @ precision @ towards / (towards @ precision @ towards)
        squares.append(_square(offset - np.clip(along, 0, 1)[..., None] * towards, precision))
    return np.sqrt(np.min(squares, axis=0))


def _square(offset: np.ndarray, precision: np.ndarray) -> np.ndarray:
    return np.einsum("...i,ij,...j", offset, precision, offset)
