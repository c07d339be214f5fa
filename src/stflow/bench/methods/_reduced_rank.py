"""The regression inside the library's model, alone, as a method of the benchmark. Slides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stflow import baselines
from stflow.baselines import Choice, Predictor
from stflow.bench.methods._method import Published
from stflow.slide import Slide


class ReducedRank(Published):
    """`stflow.baselines.ReducedRank`: kernel ridge that learns from several hundred other genes.

    What ``stf.tl.fit`` blends flows with. Its penalty is chosen in the fit, on slides left out by
    turns, so there is no ``choice`` and both protocols are the same.
    """

    citation = "izenman1975reduced"

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        return baselines.ReducedRank().candidates(rest, held_out, seed)

    def _choose(self, slides: list[Slide], seed: int) -> Choice:
        return ()

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        return baselines.ReducedRank().learn(slides, choice, seed)
