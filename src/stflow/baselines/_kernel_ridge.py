"""Kernel ridge on the embeddings of a spot and of its neighbours. Arrays only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import eigh
from sklearn.kernel_approximation import Nystroem

from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.baselines._components import training_expression
from stflow.model import Features
from stflow.slide import Slide, draw_spots

N_COMPONENTS, MAX_LANDMARKS, CHUNK = 64, 2000, 4096
WIDTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class KernelRidge(Baseline):
    """Ridge in the space of a Gaussian kernel on `stflow.model`'s features of a spot.

    They are principal components of its embedding and of its neighbours' mean embedding.
    ``choice`` is the kernel's gamma, in units of one over the features' total variance, and the
    penalty. Exact up to 2,000 training spots, with as many random landmarks above.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        features = Features.fit(rest, N_COMPONENTS, seed)
        inputs = features(held_out.embedding, held_out.graph).numpy()
        for width in WIDTHS:
            fitted = KernelPath.fit(rest, features, width, seed)
            lifted = fitted.lift(inputs)
            for penalty in PENALTIES:
                yield (width, penalty), fitted.predict(lifted, penalty)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        width, penalty = choice
        features = Features.fit(slides, N_COMPONENTS, seed)
        fitted = KernelPath.fit(slides, features, width, seed)

        def predict(slide: Slide) -> np.ndarray:
            inputs = features(slide.embedding, slide.graph).numpy()
            return fitted.predict(fitted.lift(inputs), penalty)

        return predict


@dataclass(frozen=True, slots=True, eq=False)
class KernelPath:
    """Kernel ridge fits of all penalties, from one decomposition.

    Parameters
    ----------
    nystroem
        The map from features to M coordinates whose products are the kernel's.
    axes
        Principal axes of these coordinates, shape (M, M).
    squares, products
        Along each axis, sum of squares (M,) and of products with expression (M, G).
    intercept
        Mean expression, shape (G,).
    """

    nystroem: Nystroem
    axes: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    intercept: np.ndarray

    @classmethod
    def fit(cls, slides: list[Slide], features: Features, width: float, seed: int) -> Self:
        """Fit to all spots, or to 20,000 at random."""
        drawn = draw_spots(slides, seed)
        inputs = [features(slide.embedding, slide.graph).numpy()[spots] for slide, spots in drawn]
        x = np.concatenate(inputs).astype(np.float64)
        y = training_expression(slides, seed)
        gamma = width / max(float(x.var(0).sum()), 1e-12)
        nystroem = Nystroem(gamma=gamma, n_components=min(len(x), MAX_LANDMARKS), random_state=seed)
        lifted = nystroem.fit_transform(x)
        squares, axes = eigh(lifted.T @ lifted)
        intercept = y.mean(0, dtype=np.float64)
        products = axes.T @ (lifted.T @ (y - intercept))
        return cls(nystroem, axes, np.maximum(squares, 0), products, intercept)

    def lift(self, inputs: np.ndarray) -> np.ndarray:
        """Coordinates of features (N, W) along the axes, shape (N, M), float32."""
        out = np.empty((len(inputs), len(self.squares)), dtype=np.float32)
        for first in range(0, len(inputs), CHUNK):
            rows = slice(first, first + CHUNK)
            out[rows] = self.nystroem.transform(inputs[rows].astype(np.float64)) @ self.axes
        return out

    def predict(self, lifted: np.ndarray, penalty: float) -> np.ndarray:
        """Predict expression from `lift`'s coordinates, shape (N, G)."""
        return lifted @ (self.products / (self.squares + penalty)[:, None]) + self.intercept
