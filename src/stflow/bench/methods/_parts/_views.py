"""The network of TRIPLEX: three encoders, and one that fuses what they see. Pure tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stflow.bench.methods._parts._lattice import Lattice, LatticeConvolution
from stflow.bench.methods._parts._slidewise import Block
from stflow.slide import deviations

N_LAYERS, N_HEADS, DROPOUT = 2, 8, 0.1
ALPHA = 0.3


class Head(nn.Module):
    """Predict expression from a vector.

    Parameters
    ----------
    width
        Of the vector.
    n_genes
        Number G of genes.
    """

    def __init__(self, width: int, n_genes: int) -> None:
        super().__init__()
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, n_genes)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return expression, shape (n, G)."""
        return self.last(self.norm(vectors))


class ThreeViews(nn.Module):
    """Encoders of a spot, its neighbours and the crop, and one that fuses them.

    Parameters
    ----------
    embeddings
        Of all training spots, shape (n, F): inputs are standardised by their mean and deviation.
    n_genes
        Number G of genes.
    width
        Of all vectors inside.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, embeddings: np.ndarray, n_genes: int, width: int) -> None:
        super().__init__()
        mean, scale = deviations(embeddings)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.inputs = nn.ModuleList([nn.Linear(embeddings.shape[1], width) for _ in range(3)])
        self.target, self.local, self.wide, self.fusion = (
            nn.ModuleList([Block(width, N_HEADS, DROPOUT) for _ in range(N_LAYERS)])
            for _ in range(4)
        )
        self.position = LatticeConvolution(width)
        self.heads = nn.ModuleList([Head(width, n_genes) for _ in range(4)])

    def see_crop(self, crop: Tensor, lattice: Lattice) -> Tensor:
        """Encode all spots of a crop, embeddings (N, F) to vectors (N, width)."""
        states = self.inputs[2](self._standardised(crop))
        first, *others = self.wide
        states = first(states[None])[0]
        states = (states + self.position(states, lattice))[None]
        for block in others:
            states = block(states)
        return states[0]

    def forward(self, own: Tensor, around: Tensor, neighbours: Tensor, wide: Tensor) -> Tensor:
        """Predict expression from each view and from all.

        Parameters
        ----------
        own
            Embeddings of the spots, shape (n, F).
        around
            Embeddings of spots near any of them, shape (U, F).
        neighbours
            Which of these are near each spot, shape (n, k).
        wide
            What `see_crop` made of the spots, shape (n, width).

        Returns
        -------
        Shape (4, n, G): by the target, the local and the global encoder, and fused.
        """
        target = self.inputs[0](self._standardised(own))[:, None]
        for block in self.target:
            target = block(target)
        near = self.inputs[1](self._standardised(around))
        local = near.index_select(0, neighbours.reshape(-1)).unflatten(0, neighbours.shape)
        for block in self.local:
            local = block(local)
        fused, context = target, torch.cat([local, wide[:, None]], dim=1)
        for block in self.fusion:
            fused = block(fused, context)
        views = (target[:, 0], local.mean(1), wide, fused[:, 0])
        return torch.stack([head(view) for head, view in zip(self.heads, views, strict=True)])

    def _standardised(self, embeddings: Tensor) -> Tensor:
        return (embeddings - self.mean) / self.scale


def fusion_loss(predicted: Tensor, measured: Tensor) -> Tensor:
    """Squared error of the fused prediction; the others follow it and the measurement.

    Parameters
    ----------
    predicted
        Of each encoder and, last, fused; shape (4, n, G).
    measured
        Expression, shape (n, G).
    """
    *single, fused = predicted
    follow = [
        (1 - ALPHA) * mse_loss(each, measured) + ALPHA * mse_loss(each, fused.detach())
        for each in single
    ]
    return mse_loss(fused, measured) + sum(follow)
