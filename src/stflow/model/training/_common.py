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
        self._unseen, self._expression, self._weights = unseen, expression, weights
        away = unseen - np.average(unseen, axis=0, weights=weights)
        first = max(unseen.shape[1] - RANK, 0)
        self.axes = eigh(away.T @ (away * weights[:, None]))[1][:, first:]

    def way_back(self, spots: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """From predictions to the panel, as some spots have it: matrix (P, G), intercept (G,)."""
        unseen, expression = self._unseen[spots], self._expression[spots]
        weights = self._weights[spots]
        mean, expected = (np.average(x, axis=0, weights=weights) for x in (unseen, expression))
        inside = (unseen - mean) @ self.axes
        weighted = inside * weights[:, None]
        gram = inside.T @ weighted
        gram += STEADY * np.trace(gram) / len(gram) * np.eye(len(gram)) + 1e-12 * np.eye(len(gram))
        back = self.axes @ solve(gram, weighted.T @ (expression - expected), assume_a="pos")
        return back, expected - mean @ back

    def predict_unseen(self, turns: np.ndarray) -> np.ndarray:
        """Predict the panel, (N, G), by the way back of other turns (N,) than a spot's own."""
        found = np.empty(self._expression.shape)
        for turn in np.unique(turns):
            here = turns == turn
            back, intercept = self.way_back(~here)
            found[here] = self._unseen[here] @ back + intercept
        return found
