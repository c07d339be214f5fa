"""Fields known at some spots, told at all of them. Arrays only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from stflow.model._fields import LEVELS, level_spread, smoother

NUGGET, TOLERANCE, MAX_ITERATIONS = 1e-3, 1e-5, 500


def krige(
    graph: sp.csr_matrix, known: np.ndarray, values: np.ndarray, shares: np.ndarray
) -> np.ndarray:
    """Expect fields of zero mean, given their values at some spots (simple kriging).

    The covariance is that of `draw_fields`; its system is solved by conjugate gradients, so the
    cost is linear in the number of spots.

    Parameters
    ----------
    graph
        Neighbours of each spot, shape (N, N).
    known
        Spots where the fields are known, shape (K,).
    values
        Fields there, shape (K, F).
    shares
        As `draw_fields` takes them, shape (levels + 1, F) or (levels + 1, 1).

    Returns
    -------
    Shape (N, F).
    """
    average = smoother(graph)
    weights = shares[:-1] / level_spread(average)[:, None] ** 2

    def covary(at_known: np.ndarray) -> np.ndarray:
        everywhere = np.zeros((graph.shape[0], values.shape[1]))
        everywhere[known] = at_known
        return _covary(average, weights, everywhere) + shares[-1] * at_known.sum(0)

    def system(at_known: np.ndarray) -> np.ndarray:
        return covary(at_known)[known] + NUGGET * at_known

    return covary(_solve(system, values.astype(np.float64)))


def _covary(average: sp.csr_matrix, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Multiply by the sum over levels p of ``weights[p] * average**p @ average.T**p``."""
    back, at_levels, done = average.T.tocsr(), [], 0
    for level in LEVELS:
        for _ in range(level - done):
            values = back @ values
        done = level
        at_levels.append(values)
    total = np.zeros_like(values)
    for i in reversed(range(len(LEVELS))):
        total += weights[i] * at_levels[i]
        for _ in range(LEVELS[i] - LEVELS[i - 1] if i else 0):
            total = average @ total
    return total


def _solve(system: Callable[[np.ndarray], np.ndarray], right: np.ndarray) -> np.ndarray:
    """Solve a positive definite system for each column by conjugate gradients."""
    found, rest = np.zeros_like(right), right.copy()
    direction, norm = rest.copy(), (rest**2).sum(0)
    enough = TOLERANCE**2 * norm
    for _ in range(MAX_ITERATIONS):
        if (norm <= enough).all():
            break
        moved = system(direction)
        step = norm / np.maximum((direction * moved).sum(0), 1e-300)
        found += step * direction
        rest -= step * moved
        previous, norm = norm, (rest**2).sum(0)
        direction = rest + norm / np.maximum(previous, 1e-300) * direction
    return found
