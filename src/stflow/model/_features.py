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


def read_spots(drawn: list[tuple[Slide, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of some spots and of their neighbours' mean, each (n, F), read in one pass."""
    ends = np.cumsum([len(spots) for _, spots in drawn])
    own = np.zeros((ends[-1], drawn[0][0].embedding.shape[1]), dtype=np.float32)
    context = np.zeros_like(own)
    for (slide, spots), end in zip(drawn, ends, strict=True):
        mine = slice(end - len(spots), end)
        weights = sp.csc_matrix(neighbour_weights(slide.graph)[spots])
        for rows, block in row_blocks(slide.embedding):
            here = (spots >= rows.start) & (spots < rows.stop)
            own[mine][here] = block[spots[here] - rows.start]
            context[mine] += weights[:, rows] @ block
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
        own, context = read_spots(draw_spots(slides, seed))
        scale = deviations(own)[1]
        kept = min(n_components, *own.shape)
        features = cls(own.shape[1], kept)
        for i, part in enumerate((own, context)):
            features.mean[i] = torch.from_numpy(part.mean(0))
            part /= scale
            pca = PCA(kept, svd_solver="randomized", copy=False, random_state=seed).fit(part)
            spread = np.sqrt(max(float(pca.explained_variance_.mean()), 1e-12))
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
