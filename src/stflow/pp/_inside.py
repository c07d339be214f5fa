"""Which pixels of a level lie in an area. Arrays only."""

from __future__ import annotations

import numpy as np
import shapely

from stflow.images import Level


def inside(area: shapely.Geometry | None, level: Level, image: str) -> np.ndarray:
    """Which pixels of a level have their centre in the tissue, shape (height, width).

    Parameters
    ----------
    area
        The tissue in level-0 pixels. None: all of the image.
    level
        One of the image.
    image
        Its name, for messages.

    Raises
    ------
    ValueError
        No pixel does.
    """
    y, x = np.indices(level.data.shape[1:]) + 0.5
    if area is None:
        return np.ones(x.shape, dtype=bool)
    shapely.prepare(area)
    mask = shapely.contains_xy(area, x * level.scale[0], y * level.scale[1])
    if not mask.any():
        raise ValueError(
            f"No pixel of image {image!r} lies in the tissue. Find it again with "
            "`stf.pp.detect_tissue(sdata, overwrite=True)`."
        )
    return mask
