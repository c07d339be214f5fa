"""Kernel ridge regression with all penalties at once, from one decomposition. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import eigh
from sklearn.kernel_approximation import Nystroem

MAX_LANDMARKS, CHUNK = 2000, 4096


@dataclass(frozen=True, slots=True, eq=False)
class KernelPath:
    """Ridge regressions in the space of a Gaussian kernel, one a penalty.

    Parameters
    ----------
    nystroem
        The map from features to M coordinates whose products are the kernel's; exact up to
        ``MAX_LANDMARKS`` spots, with as many random landmarks above.
    axes
        Principal axes of these coordinates, shape (M, M).
    squares, products
        Along each axis, weighted sum of squares (M,) and of products with expression (M, G).
    intercept
        Weighted mean expression, shape (G,).
    """

    nystroem: Nystroem
    axes: np.ndarray
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
        nystroem = Nystroem(gamma=gamma, n_components=min(len(x), MAX_LANDMARKS), random_state=seed)
        lifted = nystroem.fit_transform(x)
        weighted = lifted * weights[:, None]
        squares, axes = eigh(lifted.T @ weighted)
        intercept = np.average(y, axis=0, weights=weights)
        products = axes.T @ (weighted.T @ (y - intercept))
        return cls(nystroem, axes, np.maximum(squares, 0), products, intercept)

    def coefficients(self, penalty: float) -> np.ndarray:
        """Weights of the landmarks, shape (M, G)."""
        along = self.products / (self.squares + penalty)[:, None]
        return self.nystroem.normalization_.T @ (self.axes @ along)

    def lift(self, inputs: np.ndarray) -> np.ndarray:
        """Coordinates of features (N, F) along the axes, shape (N, M), float32."""
        out = np.empty((len(inputs), len(self.squares)), dtype=np.float32)
        for first in range(0, len(inputs), CHUNK):
            rows = slice(first, first + CHUNK)
            out[rows] = self.nystroem.transform(inputs[rows].astype(np.float64)) @ self.axes
        return out

    def predict(self, lifted: np.ndarray, penalty: float) -> np.ndarray:
        """Predict expression from `lift`'s coordinates, shape (N, G)."""
        return lifted @ (self.products / (self.squares + penalty)[:, None]) + self.intercept
