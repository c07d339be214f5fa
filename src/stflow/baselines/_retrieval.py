"""Retrieval: the mean expression of the training spots that look most alike. Arrays only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.neighbors import NearestNeighbors

from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.baselines._components import Components, training_rows
from stflow.slide import Slide

COMPONENTS = (16, 64, 256)
COUNTS = (1, 2, 3, 5, 8, 12, 20, 30, 50)
CHUNK = 1024


class Retrieval(Baseline):
    """Mean of the k nearest training spots, as BLEEP predicts from its own embedding.

    Nearest in principal components of the standardised embedding. ``choice`` is the number of
    components and k.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        library = Library.fit(rest, seed)
        for kept in COMPONENTS:
            means = library.means(held_out, kept, COUNTS)
            yield from (((kept, k), mean) for k, mean in zip(COUNTS, means, strict=True))

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        kept, k = (int(each) for each in choice)
        library = Library.fit(slides, seed)
        return lambda slide: library.means(slide, kept, (k,))[0]


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Training spots to retrieve from.

    Parameters
    ----------
    components
        The reduction.
    reduced, expression
        Components (n, C) and expression (n, G) of the training spots.
    """

    components: Components
    reduced: np.ndarray
    expression: np.ndarray

    @classmethod
    def fit(cls, slides: list[Slide], seed: int) -> Self:
        """Keep all training spots, or 20,000 at random."""
        embedding, expression = training_rows(slides, seed)
        components = Components.fit(embedding, max(COMPONENTS), seed)
        return cls(components, components.transform(embedding), expression)

    def means(self, slide: Slide, kept: int, counts: tuple[int, ...]) -> np.ndarray:
        """Means of the nearest, for each of ``counts``, shape (len(counts), N, G)."""
        n_most = min(max(counts), len(self.reduced))
        search = NearestNeighbors(n_neighbors=n_most).fit(self.reduced[:, :kept])
        queries = self.components.transform(slide.embedding)[:, :kept]
        out = np.empty((len(counts), slide.n_spots, self.expression.shape[1]), dtype=np.float32)
        for first in range(0, slide.n_spots, CHUNK):
            rows = slice(first, first + CHUNK)
            nearest = search.kneighbors(queries[rows], return_distance=False)
            for place, k in enumerate(counts):
                out[place, rows] = self.expression[nearest[:, :k]].mean(1)
        return out
