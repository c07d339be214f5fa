"""From image embeddings to what the denoiser reads: standardised, reduced, with context."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from stflow._slide import Slide


def neighbour_mean(values: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Mean of each spot's neighbours, shape (N, F); its own values where it has none."""
    weights = sp.csr_matrix(graph, dtype=np.float32, copy=True)
    weights.data[:] = 1
    weights.setdiag(0)
    weights.eliminate_zeros()
    degree = np.asarray(weights.sum(1))
    return np.where(degree > 0, weights @ values / np.maximum(degree, 1), values)


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
        """Learn the reduction from training slides.

        The features are scaled together to a total variance of ``width``.
        """
        own = np.concatenate([slide.embedding for slide in slides])
        context = np.concatenate([neighbour_mean(s.embedding, s.graph) for s in slides])
        scale = own.std(0)
        scale[scale < 1e-6 * max(scale.max(), 1e-12)] = np.inf
        kept = min(n_components, *own.shape)
        features = cls(own.shape[1], kept)
        for i, part in enumerate((own, context)):
            pca = PCA(kept, svd_solver="randomized", random_state=seed).fit(part / scale)
            spread = np.sqrt(max(float(pca.explained_variance_.mean()), 1e-12))
            features.mean[i] = torch.from_numpy(part.mean(0))
            features.components[i] = torch.from_numpy(pca.components_ / scale / spread)
        return features

    @torch.inference_mode()
    def forward(self, embedding: np.ndarray, graph: sp.csr_matrix) -> Tensor:
        """Features of one slide's spots, shape (N, width)."""
        parts = (embedding, neighbour_mean(embedding, graph))
        reduced = [
            (torch.from_numpy(np.asarray(part, dtype=np.float32)) - mean) @ components.T
            for part, mean, components in zip(parts, self.mean, self.components, strict=True)
        ]
        return torch.cat(reduced, dim=1)
