"""Reduced-rank regression: what predictions of many genes have in common. Arrays only."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh, solve

RANK, STEADY = 20, 0.01


class CommonDirections:
    """The first directions of predictions of many genes, and the way back to those of a panel.

    The predictions have not seen their spots, so what their first directions hold is what
    generalises; genes share them, so each gene learns from all others.

    Parameters
    ----------
    unseen
        Such predictions of training spots, shape (N, P).
    expression
        What was measured there of the panel, shape (N, G).
    weights
        How much each spot is to be trusted, shape (N,).

    References
    ----------
    Izenman, "Reduced-rank regression for the multivariate linear model", Journal of Multivariate
    Analysis 5 (1975).
    """

    def __init__(self, unseen: np.ndarray, expression: np.ndarray, weights: np.ndarray) -> None:
        self.mean, self.expected = (
            np.average(values, axis=0, weights=weights) for values in (unseen, expression)
        )
        away = unseen - self.mean
        first = max(unseen.shape[1] - RANK, 0)
        self.axes = eigh(away.T @ (away * weights[:, None]))[1][:, first:]
        self._inside, self._rest = away @ self.axes, expression - self.expected
        self._weights = weights[:, None]

    def back(self, spots: np.ndarray | slice = slice(None)) -> np.ndarray:
        """From directions to the panel, shape (rank, G), as some spots have it."""
        inside, weighted = self._inside[spots], (self._inside * self._weights)[spots]
        gram = inside.T @ weighted
        gram += STEADY * np.trace(gram) / len(gram) * np.eye(len(gram)) + 1e-12 * np.eye(len(gram))
        return solve(gram, weighted.T @ self._rest[spots], assume_a="pos")

    def predict_unseen(self, turns: np.ndarray) -> np.ndarray:
        """Predict the panel, (N, G), by the way back of other turns (N,) than a spot's own."""
        found = np.empty_like(self._rest)
        for turn in np.unique(turns):
            here = turns == turn
            found[here] = self._inside[here] @ self.back(~here) + self.expected
        return found
