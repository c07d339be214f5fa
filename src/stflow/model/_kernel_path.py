"""Kernel ridge regression, its penalty left open, from one pass over the spots. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cholesky, solve, solve_triangular
from sklearn.metrics.pairwise import rbf_kernel

MAX_LANDMARKS, CHUNK, NUGGET = 2000, 4096, 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class KernelPath:
    """Ridge regressions in the space of a Gaussian kernel, one a penalty.

    Parameters
    ----------
    landmarks, gamma
        Features of M spots, shape (M, F), and the kernel's gamma: exact up to ``MAX_LANDMARKS``
        spots, with as many random ones above (Nystroem's method).
    whitening
        From the kernel of a spot and the landmarks to M coordinates whose products are the
        kernel's, shape (M, M).
    squares, products
        Weighted sums of products of coordinates (M, M), and of these with expression (M, G).
    intercept
        Weighted mean expression, shape (G,).
    """

    landmarks: np.ndarray
    gamma: float
    whitening: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    intercept: np.ndarray

    @classmethod
    def fit(
        cls, x: np.ndarray, y: np.ndarray, *, weights: np.ndarray, width: float, seed: int
    ) -> Self:
        """Fit to features (N, F) and expression (N, G) of spots with weights (N,).

        ``width`` is the kernel's gamma in units of one over the features' total variance.
        """
        x, y = x.astype(np.float64), y.astype(np.float64)
        gamma = width / max(float(x.var(0).sum()), 1e-12)
        landmarks = x[np.sort(np.random.default_rng(seed).permutation(len(x))[:MAX_LANDMARKS])]
        n, kernel = len(landmarks), rbf_kernel(landmarks, gamma=gamma)
        kernel[np.diag_indices(n)] += NUGGET
        whitening = solve_triangular(cholesky(kernel, lower=True), np.eye(n), lower=True).T
        intercept = np.average(y, axis=0, weights=weights)
        squares, products = np.zeros((n, n)), np.zeros((n, y.shape[1]))
        for first in range(0, len(x), CHUNK):
            rows = slice(first, first + CHUNK)
            lifted = rbf_kernel(x[rows], landmarks, gamma=gamma) @ whitening
            weighted = lifted * weights[rows, None]
            squares += lifted.T @ weighted
            products += weighted.T @ (y[rows] - intercept)
        return cls(landmarks, gamma, whitening, squares, products, intercept)

    def along(self, penalty: float) -> np.ndarray:
        """Weights of the coordinates, shape (M, G)."""
        ridge = self.squares + penalty * np.eye(len(self.squares))
        return solve(ridge, self.products, assume_a="pos")

    def coefficients(self, penalty: float) -> np.ndarray:
        """Weights of the landmarks, shape (M, G)."""
        return self.whitening @ self.along(penalty)

    def lift(self, inputs: np.ndarray) -> np.ndarray:
        """Coordinates of features (N, F), shape (N, M), float32."""
        out = np.empty((len(inputs), len(self.landmarks)), dtype=np.float32)
        for first in range(0, len(inputs), CHUNK):
            rows = slice(first, first + CHUNK)
            near = rbf_kernel(inputs[rows].astype(np.float64), self.landmarks, gamma=self.gamma)
            out[rows] = near @ self.whitening
        return out

    def predict(self, lifted: np.ndarray, penalty: float) -> np.ndarray:
        """Predict expression from `lift`'s coordinates, shape (N, G)."""
        return lifted @ self.along(penalty) + self.intercept
