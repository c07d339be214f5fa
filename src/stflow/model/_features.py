"""From image embeddings to what the denoiser reads: standardised, reduced, with context."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from stflow.slide import (
    Slide,
    deviations,
    draw_spots,
    neighbour_mean,
    neighbour_weights,
    row_blocks,
)


def read_spots(slide: Slide, spots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of some spots and of their neighbours' mean, each (n, F), read in one pass."""
    own = np.zeros((len(spots), slide.embedding.shape[1]), dtype=np.float32)
    context = np.zeros_like(own)
    weights = sp.csc_matrix(neighbour_weights(slide.graph)[spots])
    for rows, block in row_blocks(slide.embedding):
        here = (spots >= rows.start) & (spots < rows.stop)
        own[here] = block[spots[here] - rows.start]
        context += weights[:, rows] @ block
    return own, context


class Features(nn.Module):
    """Principal components of a spot's embedding beside those of its neighbours' mean.

    Parameters
    ----------
    n_inputs
        Width F of the embedding.
    n_components
        Components kept of each of the two.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, n_inputs: int, n_components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, n_inputs))
        self.register_buffer("components", torch.zeros(2, n_components, n_inputs))

    @property
    def width(self) -> int:
        """Number of features made of each spot."""
        return self.components.shape[0] * self.components.shape[1]

    @classmethod
    def fit(cls, slides: list[Slide], n_components: int, seed: int) -> Self:
        """Learn the reduction from training slides, from at most 20,000 of their spots.

        The features are scaled together to a total variance of ``width``.
        """
        parts = [read_spots(slide, spots) for slide, spots in draw_spots(slides, seed)]
        own, context = (np.concatenate(part) for part in zip(*parts, strict=True))
        scale = deviations(own)[1]
        kept = min(n_components, *own.shape)
        features = cls(own.shape[1], kept)
        for i, part in enumerate((own, context)):
            pca = PCA(kept, svd_solver="randomized", random_state=seed).fit(part / scale)
            spread = np.sqrt(max(float(pca.explained_variance_.mean()), 1e-12))
            features.mean[i] = torch.from_numpy(part.mean(0))
            features.components[i] = torch.from_numpy(pca.components_ / scale / spread)
        return features

    @torch.inference_mode()
    def forward(self, embedding: Any, graph: sp.csr_matrix) -> Tensor:
        """Features of one slide's spots, shape (N, width).

        The neighbours' mean is taken after the reduction, which is linear.
        """
        n_spots, (_, kept, _) = embedding.shape[0], self.components.shape
        reduced = torch.empty(2, n_spots, kept)
        for rows, block in row_blocks(embedding):
            centred = torch.from_numpy(block) - self.mean[:, None]
            reduced[:, rows] = centred @ self.components.transpose(1, 2)
        context = neighbour_mean(reduced[1].numpy(), graph)
        return torch.cat([reduced[0], torch.from_numpy(context)], dim=1)
