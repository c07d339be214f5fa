"""Linear baselines: the training mean, ridge, and ridge averaged over neighbours. Arrays only."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np

from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.baselines._components import Components, training_rows
from stflow.slide import Slide, neighbour_mean

COMPONENTS = (16, 32, 64, 128, 256)
PENALTIES = tuple(float(penalty) for penalty in np.logspace(-3, 2, 11))
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)


class TrainingMean(Baseline):
    """The mean of each gene over the training spots, everywhere. Nothing is chosen."""

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        yield (), self.learn(rest, (), seed)(held_out)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        mean = np.concatenate([np.asarray(slide.expression) for slide in slides]).mean(0)
        return lambda slide: np.tile(mean, (slide.n_spots, 1))


class Ridge(Baseline):
    """Ridge regression with an intercept on principal components of standardised embeddings.

    ``choice`` is the number of components and the penalty, in units of the number of training
    spots times the mean variance of all components kept.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        path = RidgePath(rest, seed)
        reduced = path.components.transform(held_out.embedding)
        for kept, penalty in product(COMPONENTS, PENALTIES):
            yield (kept, penalty), path.predict(reduced, kept, penalty)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        path = RidgePath(slides, seed)
        kept, penalty = choice
        return lambda slide: path.predict(
            path.components.transform(slide.embedding), int(kept), penalty
        )


class SmoothedRidge(Baseline):
    """The prediction of `Ridge`, averaged with the mean prediction of the neighbours.

    ``choice`` is that of `Ridge` and the neighbours' share of the average.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        for choice, predicted in Ridge().candidates(rest, held_out, seed):
            change = neighbour_mean(predicted, held_out.graph) - predicted
            for share in SHARES:
                yield (*choice, share), predicted + share * change

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        *how, share = choice
        ridge = Ridge().learn(slides, tuple(how), seed)

        def predict(slide: Slide) -> np.ndarray:
            predicted = ridge(slide)
            return predicted + share * (neighbour_mean(predicted, slide.graph) - predicted)

        return predict


class RidgePath:
    """Ridge fits of all numbers of components and penalties, from one decomposition.

    Components are uncorrelated over the training spots, so each has a coefficient of its own.
    """

    def __init__(self, slides: list[Slide], seed: int) -> None:
        embedding, expression = training_rows(slides, seed)
        self.components = Components.fit(embedding, max(COMPONENTS), seed)
        reduced = self.components.transform(embedding).astype(np.float64)
        self.intercept = expression.mean(0, dtype=np.float64)
        self.squares = np.square(reduced).sum(0)
        self.products = reduced.T @ (expression - self.intercept)

    def predict(self, reduced: np.ndarray, kept: int, penalty: float) -> np.ndarray:
        """Predict from components (N, C) by the first ``kept`` of them, shape (N, G)."""
        denominator = self.squares + max(penalty * float(self.squares.mean()), 1e-12)
        coefficients = self.products / denominator[:, None]
        return reduced[:, :kept] @ coefficients[:kept] + self.intercept
