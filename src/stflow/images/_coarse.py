"""Pure arrays: a whole image at a coarser scale, averaged block by block."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da
import numpy as np

from stflow.images._pyramid import Level, choose_level

MOST_PX = 2_000_000
LEAST_PX = 250_000
FINER = 4


def coarsen(levels: Sequence[Level], wanted: float) -> Level:
    """Average an image down to a scale, block by block, from a level four times as fine.

    Parameters
    ----------
    levels
        The pyramid, level 0 first.
    wanted
        Level-0 pixels per pixel of the result. Finer where the result would have fewer than
        ``LEAST_PX`` pixels, coarser where more than ``MOST_PX``.

    Returns
    -------
    Level that is read when it is computed, up to a quarter coarser than wanted, or more where the
    image has no level that fine. A remainder at the right and lower edge, narrower than a pixel
    of the result, is cut off.
    """
    area = float(np.prod(levels[0].size, dtype=np.float64))
    wanted = max(1.0, min(wanted, np.sqrt(area / LEAST_PX)), np.sqrt(area / MOST_PX))
    level = choose_level(levels, wanted / FINER)
    return _averaged(level, int(np.ceil(round(wanted / max(level.scale), 2))))


def average(levels: Sequence[Level], wanted: float) -> Level:
    """Average an image down to about a scale, whatever its size, from the nearest finer level.

    Parameters
    ----------
    levels
        The pyramid, level 0 first.
    wanted
        Level-0 pixels per pixel of the result.

    Returns
    -------
    Level that is read when it is computed, block by block, of two thirds to four thirds of the
    scale; level 0 where that is coarser. What remains at the right and lower edge is cut off.
    """
    level = choose_level(levels, wanted)
    return _averaged(level, round(wanted / max(level.scale)))


def _averaged(level: Level, factor: int) -> Level:
    factor = min(max(1, factor), *level.size)
    scale_x, scale_y = level.scale
    data = da.asarray(level.data).rechunk({0: -1})
    small = da.coarsen(np.mean, data, {1: factor, 2: factor}, trim_excess=True)
    return Level(small.round().astype(np.uint8), (scale_x * factor, scale_y * factor))
