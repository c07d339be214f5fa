"""A random forest on principal components. Arrays only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.baselines._components import Components, training_rows
from stflow.slide import Slide

N_TREES, N_COMPONENTS, MAX_SPOTS_A_TREE = 70, 64, 5000
LEAVES = (1, 5, 15)


class RandomForest(Baseline):
    """70 regression trees, as in HEST-bench, on 64 principal components of the embedding.

    A tree sees a third of the components at each split, and at most 5,000 spots. ``choice`` is
    the least number of spots in a leaf.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        return (((leaf,), self.learn(rest, (leaf,), seed)(held_out)) for leaf in LEAVES)

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        return fit_forest(slides, seed, (N_COMPONENTS, *choice), max_features=1 / 3)


def fit_forest(slides: list[Slide], seed: int, choice: Choice, *, max_features: float) -> Predictor:
    """Grow 70 trees, each on at most 5,000 spots; the trees' other settings are scikit-learn's.

    Parameters
    ----------
    slides
        Training slides.
    seed
        Seed of all draws.
    choice
        Principal components at most, and the least number of spots in a leaf.
    max_features
        Share of the components that are looked at in each split.
    """
    n_components, leaf = (int(number) for number in choice)
    embedding, expression = training_rows(slides, seed)
    components = Components.fit(embedding, n_components, seed)
    forest = RandomForestRegressor(
        N_TREES,
        min_samples_leaf=leaf,
        max_features=max_features,
        max_samples=min(len(embedding), MAX_SPOTS_A_TREE),
        random_state=seed,
        n_jobs=1,
    )
    one = expression.shape[1] == 1
    forest.fit(components.transform(embedding), expression[:, 0] if one else expression)

    def predict(slide: Slide) -> np.ndarray:
        predicted = forest.predict(components.transform(slide.embedding))
        return predicted.reshape(slide.n_spots, -1)

    return predict
