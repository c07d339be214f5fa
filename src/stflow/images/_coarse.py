"""Pure arrays: a whole image, small enough to hold in memory."""

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
    scale_x, scale_y = level.scale
    factor = max(1, int(np.ceil(round(wanted / max(level.scale), 2))))
    factor = min(factor, *level.size)
    data = da.asarray(level.data).rechunk({0: -1})
    small = da.coarsen(np.mean, data, {1: factor, 2: factor}, trim_excess=True)
    return Level(small.round().astype(np.uint8), (scale_x * factor, scale_y * factor))
