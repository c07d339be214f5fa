"""Encoder and random forest head, of HEST-bench and the preprint. Slides in, arrays out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import numpy as np

from stflow.baselines import LEAVES, Choice, Predictor, fit_forest
from stflow.bench.methods._method import Published
from stflow.slide import Slide

COMPONENTS = (64, 256)


class RandomForest(Published):
    """70 regression trees on principal components of the embedding.

    It is the head that the preprint gives the encoders it compares with, taken from HEST-bench.
    ``choice`` is the number of components at most and the least number of spots in a leaf.

    With protocol ``"hest"`` these are 256 and 1, and each split looks at all components, as is
    scikit-learn's default. With ``"nested"`` they are chosen among 64 and 256, and 1, 5 and 15,
    and a split looks at a third of the components, for the cost. In both, a tree sees at most
    5,000 spots, drawn from at most 20,000.
    """

    citation = "jaume2024hest"
    published = COMPONENTS[-1], LEAVES[0]

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        choices = [self.published] if self.protocol == "hest" else product(COMPONENTS, LEAVES)
        return ((choice, self.learn(rest, choice, seed)(held_out)) for choice in choices)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        share = 1.0 if self.protocol == "hest" else 1 / 3
        return fit_forest(slides, seed, choice, max_features=share)
