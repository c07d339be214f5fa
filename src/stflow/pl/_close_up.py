"""Pure arrays: which part of many spots to look at closely."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

ACROSS = 10.0
LOOKED_AT = 2000
NEARLY = 0.9


def close_up(points: np.ndarray, *, least: float) -> tuple[np.ndarray, float]:
    """Find a square that holds some ten by ten spots where they are dense, near their middle.

    Parameters
    ----------
    points
        Middles of the spots, shape (N, 2).
    least
        Least side of the square.

    Returns
    -------
    Its middle, shape (2,), and its side.
    """
    some = points[np.linspace(0, len(points) - 1, min(len(points), LOOKED_AT)).astype(int)]
    tree = KDTree(points)
    apart = tree.query(some, k=[min(2, len(points))])[0]
    side = max(ACROSS * float(np.median(apart)), least)
    number = tree.query_ball_point(some, side / 2, p=np.inf, return_length=True)
    dense = some[number >= NEARLY * number.max()]
    away = np.linalg.norm(dense - np.median(points, axis=0), axis=1)
    return dense[np.argmin(away)], side
