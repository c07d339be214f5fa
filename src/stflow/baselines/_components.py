"""Principal components of standardised embeddings, and the training spots to fit to. Arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from stflow.slide import Slide, deviations, draw_spots, row_blocks


def training_rows(slides: list[Slide], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (n, F) and expression (n, G) of all training spots, or of 20,000 at random."""
    drawn = draw_spots(slides, seed)
    embedding = [_rows(slide.embedding, spots) for slide, spots in drawn]
    return np.concatenate(embedding), training_expression(slides, seed)


def training_expression(slides: list[Slide], seed: int) -> np.ndarray:
    """Expression (n, G) of the spots of `training_rows`."""
    drawn = draw_spots(slides, seed)
    return np.concatenate([np.asarray(slide.expression)[spots] for slide, spots in drawn])


def _rows(matrix: Any, spots: np.ndarray) -> np.ndarray:
    """Read some rows, in order, of a matrix that may be on disk."""
    found = []
    for rows, block in row_blocks(matrix):
        here = spots[(spots >= rows.start) & (spots < rows.stop)]
        found.append(block[here - rows.start])
    return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """A linear map from embeddings to principal components, the largest first.

    Parameters
    ----------
    mean
        Mean embedding, shape (F,).
    axes
        What the centred embedding is multiplied with, shape (F, C): its columns are uncorrelated
        over the spots of the fit.
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, embedding: np.ndarray, n_components: int, seed: int) -> Self:
        """Standardise and reduce (n, F) to at most ``n_components``, largest loadings positive."""
        mean, scale = deviations(embedding)
        varying = max(int(np.isfinite(scale).sum()), 1)
        kept = min(n_components, embedding.shape[0] - 1, varying)
        standard = (embedding - mean) / scale
        pca = PCA(kept, svd_solver="randomized", random_state=seed).fit(standard)
        inside = standard @ pca.components_.T
        turn = np.linalg.svd(inside, full_matrices=False)[2]
        _, axes = svd_flip(None, turn @ pca.components_, u_based_decision=False)
        return cls(mean, axes.T / scale[:, None])

    def transform(self, embedding: Any) -> np.ndarray:
        """Components of spots, shape (N, C)."""
        out = np.empty((embedding.shape[0], self.axes.shape[1]), dtype=np.float32)
        for rows, block in row_blocks(embedding):
            out[rows] = (block - self.mean) @ self.axes
        return out
