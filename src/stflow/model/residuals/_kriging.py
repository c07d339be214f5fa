"""Fields known at some spots, told at all of them. Arrays only."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from stflow.model.residuals._fields import Smoother, centre

NUGGET, TOLERANCE, MAX_ITERATIONS = 1e-3, 1e-5, 500


def krige(
    smoother: Smoother,
    known: np.ndarray,
    values: np.ndarray,
    shares: np.ndarray,
    kept: np.ndarray,
) -> np.ndarray:
    """Expect fields of zero mean, given their values at some spots (simple kriging).

    The covariance is that of `draw_fields`; the systems of all fields are solved together by
    conjugate gradients, so the cost is linear in the number of spots. Each is solved as closely as
    the others, however large its values.

    Parameters
    ----------
    smoother
        The slide, N spots.
    known
        Spots where the fields are known, shape (K,).
    values
        Fields there, shape (K, F).
    shares
        As `draw_fields` takes them, shape (levels, F) or (levels, 1).
    kept
        As there.

    Returns
    -------
    Shape (N, F).
    """

    def covary(at_known: np.ndarray) -> np.ndarray:
        """Multiply by the covariance of all spots with the known ones."""
        everywhere = np.zeros((smoother.n_spots, values.shape[1]))
        everywhere[known] = at_known
        total = np.zeros_like(everywhere)
        for level, (share, own) in enumerate(zip(shares, kept, strict=True)):
            noise = smoother.smooth_back(centre(everywhere, own), level)
            total += share * centre(smoother.smooth(noise, level), own)
        return total

    def system(flat: np.ndarray) -> np.ndarray:
        at_known = flat.reshape(values.shape)
        return (covary(at_known)[known] + NUGGET * at_known).ravel()

    operator = LinearOperator((values.size, values.size), matvec=system, dtype=np.float64)
    size = np.linalg.norm(values.astype(np.float64), axis=0)
    right = np.divide(values, size, where=size > 0, out=np.zeros(values.shape))
    solved, _ = cg(operator, right.ravel(), rtol=TOLERANCE, maxiter=MAX_ITERATIONS)
    return covary(size * solved.reshape(values.shape))
