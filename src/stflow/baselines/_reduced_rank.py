"""The regression that the flow is blended with, alone. Slides and tensors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.model import Config, Features
from stflow.model.training import fit_regression, to_tensors
from stflow.slide import Slide


class ReducedRank(Baseline):
    """Kernel ridge that learns from other genes too: the regression inside `stf.tl.fit`, alone.

    Features are those of `KernelRidge`. Its prediction is averaged with what the common directions
    of the predictions of several hundred genes say of each gene of the panel (the ``auxiliary``
    expression of the slides, where they hold it). The penalty is chosen in the fit, on slides left
    out by turns, so there is no ``choice``.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        yield (), self.learn(rest, (), seed)(held_out)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        features = Features.fit(slides, Config().n_components, seed)
        regression = fit_regression(to_tensors(slides, features), seed)
        return lambda slide: regression(features(slide.embedding, slide.graph)).numpy()
