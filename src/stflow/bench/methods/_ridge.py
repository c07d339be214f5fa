"""Encoder and ridge head, as HEST-bench scores encoders. Slides in, arrays out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge as LinearModel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stflow import baselines
from stflow.baselines import Choice, Predictor
from stflow.bench.methods._method import Published
from stflow.slide import Slide, row_blocks

N_COMPONENTS, MAX_ITER = 256, 1000


class Ridge(Published):
    """Ridge regression on principal components of the embedding, the head of HEST-bench.

    With protocol ``"hest"`` all is as published: embeddings are standardised over all training
    spots and reduced to M = 256 principal components (fewer where spots or features are fewer),
    and C genes are fitted with a penalty of 100 / (M C) by `lsqr` in at most 1,000 steps.
    This penalty is about a million times smaller than that which predicts best. There is no
    intercept, so predictions of a gene have mean 0 over the training spots: correlations do not
    feel it, errors and ``residual_sd`` do. Nothing is chosen.

    With ``"nested"`` it is `stflow.baselines.Ridge`: with an intercept, the number of components
    and the penalty chosen on slides left out, and fitted to at most 20,000 spots. ``choice`` is
    these two.
    """

    citation = "jaume2024hest"
    published = ()

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        if self.protocol == "nested":
            return baselines.Ridge().candidates(rest, held_out, seed)
        return [((), self.learn(rest, (), seed)(held_out))]

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        if self.protocol == "nested":
            return baselines.Ridge().learn(slides, choice, seed)
        return fit_published(slides, seed)


def fit_published(slides: list[Slide], seed: int) -> Predictor:
    """Fit HEST-bench's ridge to all spots."""
    embedding = np.concatenate([block for s in slides for _, block in row_blocks(s.embedding)])
    expression = np.concatenate([np.asarray(slide.expression) for slide in slides])
    kept = min(N_COMPONENTS, *embedding.shape)
    penalty = 100 / (kept * expression.shape[1])
    model = make_pipeline(
        StandardScaler(),
        PCA(kept, random_state=seed),
        LinearModel(penalty, fit_intercept=False, solver="lsqr", max_iter=MAX_ITER),
    ).fit(embedding, expression)

    def predict(slide: Slide) -> np.ndarray:
        blocks = [model.predict(block) for _, block in row_blocks(slide.embedding)]
        return np.concatenate(blocks).reshape(slide.n_spots, -1)

    return predict
