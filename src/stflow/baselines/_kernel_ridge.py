"""Kernel ridge on the embeddings of a spot and of its neighbours. Arrays only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.baselines._components import training_expression
from stflow.model import Features, KernelPath
from stflow.slide import Slide, draw_spots, spot_weights

N_COMPONENTS = 64
WIDTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class KernelRidge(Baseline):
    """Ridge in the space of a Gaussian kernel on `stflow.model`'s features of a spot.

    They are principal components of its embedding and of its neighbours' mean embedding.
    ``choice`` is the kernel's gamma, in units of one over the features' total variance, and the
    penalty. Spots weigh by `spot_weights`. Exact up to 2,000 training spots, with as many random
    landmarks above.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        features = Features.fit(rest, N_COMPONENTS, seed)
        inputs = features(held_out.embedding, held_out.graph).numpy()
        for width in WIDTHS:
            fitted = fit_path(rest, features, width, seed)
            lifted = fitted.lift(inputs)
            for penalty in PENALTIES:
                yield (width, penalty), fitted.predict(lifted, penalty)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        width, penalty = choice
        features = Features.fit(slides, N_COMPONENTS, seed)
        fitted = fit_path(slides, features, width, seed)

        def predict(slide: Slide) -> np.ndarray:
            inputs = features(slide.embedding, slide.graph).numpy()
            return fitted.predict(fitted.lift(inputs), penalty)

        return predict


def fit_path(slides: list[Slide], features: Features, width: float, seed: int) -> KernelPath:
    """Fit all penalties to all spots, or to 20,000 at random, each by its weight."""
    drawn = draw_spots(slides, seed)
    inputs = [features(slide.embedding, slide.graph).numpy()[spots] for slide, spots in drawn]
    pairs = zip(drawn, spot_weights(slides), strict=True)
    weights = np.concatenate([each[spots] for (_, spots), each in pairs])
    expression = training_expression(slides, seed)
    x = np.concatenate(inputs)
    return KernelPath.fit(x, expression, weights=weights, width=width, seed=seed)
