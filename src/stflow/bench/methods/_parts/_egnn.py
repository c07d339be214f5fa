"""Layers of the E(n)-equivariant graph network in place of spatial attention. Pure tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stflow.model import Config
from stflow.model.denoiser import Messages, SpotGraph


class EGNNLayer(nn.Module):
    """Messages of all neighbours, added up (Satorras et al. 2021, equations 3, 5 and 6).

    A message is an MLP of the states of both spots and of their squared distance; an MLP of a
    spot's state and of the sum of its messages moves the state. Spots stay where they are. The
    state of a spot holds its current expression, by a linear map of its own in each layer. The
    methods are those of `SpatialAttention`.

    Parameters
    ----------
    n_genes
        Size G of the panel.
    hidden
        Width d.
    dropout
        Share of the hidden units dropped while training.
    """

    def __init__(self, n_genes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.expression = nn.Linear(n_genes, hidden, bias=False)
        self.listen = nn.Linear(hidden, hidden)
        self.speak = nn.Linear(hidden, hidden, bias=False)
        self.distance = nn.Linear(1, hidden, bias=False)
        self.outer = nn.Linear(hidden, hidden)
        self.update = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden)
        )

    def messages(self, z: Tensor, y: Tensor) -> Messages:
        """Tell what spots with states z (N, d) and expression y (N, G) say."""
        dtype = self.listen.weight.dtype
        state = z.to(dtype) + self.expression(y.to(dtype))
        said = self.speak(state)
        return Messages(self.listen(state), said, said)

    def edges(self, geometry: Tensor) -> Tensor:
        """Encode the squared length of edges, (E, 3) to (E, d)."""
        return self.distance(geometry[:, 2:].square().to(self.distance.weight.dtype))

    def weights(self, messages: Messages, edges: Tensor, graph: SpotGraph) -> Tensor:
        """Weigh all edges alike, shape (E, 1)."""
        return edges.new_ones(edges.shape[0], 1)

    def move(
        self, z: Tensor, messages: Messages, edges: Tensor, weights: Tensor, graph: SpotGraph
    ) -> Tensor:
        """Update the states of the N listening spots, shape (N, d)."""
        mixed = messages.speaking.index_select(0, graph.source) + edges
        mixed = mixed + messages.listening.index_select(0, graph.target)
        said = F.silu(self.outer(F.silu(mixed))) * weights
        heard = torch.segment_reduce(said, "sum", offsets=graph.offsets, unsafe=True)
        return z + self.update(torch.cat([z.to(heard.dtype), heard], dim=1))

    def forward(self, z: Tensor, messages: Messages, edges: Tensor, graph: SpotGraph) -> Tensor:
        """Update the states of the spots that listen; arguments of `SpatialAttention.forward`."""
        return self.move(z, messages, edges, self.weights(messages, edges, graph), graph)


def egnn(n_genes: int, config: Config) -> EGNNLayer:
    """Build a layer for `Denoiser`."""
    return EGNNLayer(n_genes, config.hidden, config.dropout)
