"""Where each kind of artifact lies on the levels of an image. Arrays only."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy import ndimage

from stflow._validation import warn
from stflow.artifacts import density, detail, find_blur, find_folds, find_pen, near
from stflow.images import Level, average

KINDS = ("pen", "fold", "blur")
DETAIL_UM, COARSEST_UM = 2.0, 4.0
AROUND_UM = 40.0


def find_artifacts(
    levels: Sequence[Level],
    coarse: Level,
    tissue: np.ndarray,
    *,
    kinds: Collection[str],
    mpp: float,
    min_area_um2: float,
) -> dict[str, np.ndarray]:
    """Find artifacts of some kinds.

    Parameters
    ----------
    levels
        The pyramid, level 0 first; blur is looked for on one of it.
    coarse
        The image, small enough to hold in memory.
    tissue
        Where the tissue lies on it, shape (height, width).
    kinds
        Some of ``KINDS``.
    mpp
        Micrometres per level-0 pixel.
    min_area_um2
        Leave out smaller pieces.

    Returns
    -------
    For each kind, where it lies, booleans, shape (height, width) of ``coarse``.
    """
    pixels = np.asarray(coarse.data)
    um = mpp * float(np.sqrt(np.prod(coarse.scale)))
    dense = density(pixels)
    pen = find_pen(dense, tissue, um)  # needed without "pen" too: ink is as dark as a fold
    found = {}
    for kind in kinds:
        if kind == "pen":
            mask = pen
        elif kind == "fold":
            mask = find_folds(dense, tissue & ~near(pen, within=AROUND_UM / um), um)
        else:
            mask = _blurred(levels, coarse, tissue, mpp)
        found[kind] = _large(mask, min_area_um2 / um**2)
    return found


def _blurred(levels: Sequence[Level], coarse: Level, tissue: np.ndarray, mpp: float) -> np.ndarray:
    """Tissue out of focus; nothing, and a warning, where the image is too coarse to tell."""
    level = average(levels, DETAIL_UM / mpp)
    um = mpp * max(level.scale)
    if um > COARSEST_UM:
        warn(
            f"The image has {um:.3g} um a pixel, too coarse to tell tissue out of focus, so no "
            f"blur was looked for; {COARSEST_UM:g} um are needed."
        )
        return np.zeros(tissue.shape, dtype=bool)
    tiles, side = detail(level.data, um)
    if 0 in tiles.shape:
        return np.zeros(tissue.shape, dtype=bool)
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * of / (side * to), last - 1).astype(int)
        for n, of, to, last in zip(
            tissue.shape, coarse.scale[::-1], level.scale[::-1], tiles.shape[1:], strict=True
        )
    )
    number = rows[:, None] * tiles.shape[2] + columns
    shape = tiles.shape[1:]
    inside, all_of_it = (
        np.bincount(number.ravel(), weights, tiles[0].size).reshape(shape)
        for weights in (tissue.ravel(), None)
    )
    return find_blur(tiles, inside / np.maximum(1, all_of_it))[rows][:, columns] & tissue


def _large(mask: np.ndarray, fewest: float) -> np.ndarray:
    """Drop pieces of fewer pixels, and fill holes as small."""
    for value in (True, False):
        pieces, _ = ndimage.label(mask == value)
        small = np.bincount(pieces.ravel()) < fewest
        small[0] = False
        mask = mask ^ small[pieces]
    return mask
