"""The denoiser: noisy expression, image features and neighbours in, clean expression out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stflow.model._config import Config
from stflow.model.denoiser._attention import SpatialAttention
from stflow.model.denoiser._graph import SpotGraph


class TimeEncoder(nn.Module):
    """Sinusoids of the time, then a small MLP.

    Parameters
    ----------
    hidden
        Width d of the result, even.
    """

    frequencies: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), hidden // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, t: Tensor) -> Tensor:
        """Embed times of shape (N,) as shape (N, d)."""
        angles = t[:, None] * self.frequencies
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1))


class Head(nn.Module):
    """A guess of the expression from the state of a spot: an MLP, nothing after it.

    Parameters
    ----------
    hidden, n_genes
        Width d of the state and size G of the panel.
    """

    def __init__(self, hidden: int, n_genes: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(hidden, hidden), nn.Linear(hidden, n_genes)

    def forward(self, z: Tensor) -> Tensor:
        """Map states (N, d) to expression (N, G)."""
        return self.outer(F.silu(self.inner(z.to(self.inner.weight.dtype))))

    @torch.no_grad()
    def start_from(self, expression: Tensor) -> None:
        """Answer with the given expression, shape (G,), until trained."""
        self.outer.weight.zero_()
        self.outer.bias.copy_(expression)


def spatial_attention(n_genes: int, config: Config) -> SpatialAttention:
    """Build a layer of the preprint's denoiser."""
    return SpatialAttention(
        n_genes, config.hidden, config.n_heads, config.dropout, frames=config.frames
    )


class Denoiser(nn.Module):
    """Frame-averaging transformer that predicts the end point of the flow.

    Each layer reads the current guess of the expression, attends to the neighbours, and makes a
    new guess; the result is the mean of the guesses (section 3.3 of the preprint).

    Parameters
    ----------
    n_features
        Width of the image features.
    n_genes
        Size G of the panel.
    config
        Layers, heads, hidden width, dropout, whether there is a flow, whether edges have frames.
    make_layer
        Builds a layer, with all methods of `SpatialAttention`, from ``n_genes`` and ``config``.
    """

    def __init__(
        self,
        n_features: int,
        n_genes: int,
        config: Config,
        *,
        make_layer: Callable[[int, Config], nn.Module] = spatial_attention,
    ) -> None:
        super().__init__()
        self.n_genes, self.hidden = n_genes, (hidden := config.hidden)
        self.flow = config.flow
        self.project = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(n_features, hidden))
        self.time = TimeEncoder(hidden)
        self.layers = nn.ModuleList(make_layer(n_genes, config) for _ in range(config.n_layers))
        self.heads = nn.ModuleList(Head(hidden, n_genes) for _ in range(config.n_layers))

    def start_from(self, expression: Tensor) -> None:
        """Make every guess of an untrained network the given expression, shape (G,)."""
        for _, head in self.blocks():
            head.start_from(expression)

    def steps(self, n_steps: int) -> int:
        """Say how many of ``n_steps`` evaluations a sample takes: a regression takes one."""
        return n_steps if self.flow else 1

    def blocks(self) -> list[tuple[SpatialAttention, Head]]:
        """Pair the layers with the heads that follow them."""
        return cast(
            "list[tuple[SpatialAttention, Head]]", list(zip(self.layers, self.heads, strict=True))
        )

    def forward(
        self, y: Tensor, features: Tensor, t: Tensor, graph: SpotGraph
    ) -> tuple[Tensor, Tensor]:
        """Predict the end point.

        Parameters
        ----------
        y
            Expression on the path at time ``t``, shape (N, G).
        features
            Image features, shape (N, F).
        t
            Time of each spot, shape (N,).
        graph
            Edges of the N spots.

        Returns
        -------
        Predicted expression, shape (N, G), and the last latent state, shape (N, d).
        """
        z = self.project(features) + self.time(t)
        guesses = []
        for layer, head in self.blocks():
            z = layer(z, layer.messages(z, y), layer.edges(graph.geometry), graph)
            y = head(z)
            guesses.append(y)
        return torch.stack(guesses).mean(0), z
