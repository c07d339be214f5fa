"""Spatial attention over frame-averaged neighbourhoods. Pure tensors.

Rows are picked with ``index_select``: the gradient of plain indexing adds up in random order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stflow.model._graph import SpotGraph

SIGNS = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))


class FrameEncoder(nn.Module):
    """Edge embedding ``e_ij``: an MLP averaged over the four frames (equations 5 to 7).

    Parameters
    ----------
    hidden
        Width d of the embedding.
    """

    frames: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(3, hidden)
        self.outer = nn.Linear(hidden, hidden)
        frames = torch.tensor([[*signs, 1.0] for signs in SIGNS])
        self.register_buffer("frames", frames, persistent=False)

    def forward(self, geometry: Tensor) -> Tensor:
        """Map the geometry of the edges, shape (E, 3), to shape (E, d)."""
        per_frame = F.silu(self.inner(geometry[:, None] * self.frames))
        return self.outer(per_frame.mean(1))


def segment_softmax(scores: Tensor, target: Tensor, n_spots: int) -> Tensor:
    """Softmax of the scores (E, H) over the edges that share a target."""
    index = target[:, None].expand_as(scores)
    empty = scores.new_full((n_spots, scores.shape[1]), -torch.inf)
    peak = empty.scatter_reduce(0, index, scores.detach(), "amax")
    weights = torch.exp(scores - peak.index_select(0, target))
    total = torch.zeros_like(empty).index_add(0, target, weights)
    return weights / total.index_select(0, target)


class SpatialAttention(nn.Module):
    """Attention of a spot over its neighbours, and the feed-forward block after it.

    The first linear map of the score's MLP splits into one product for the query, one for the
    key, one for the edge and one for the difference in expression, so the number of genes never
    meets the number of edges (equations 8 to 10).

    Parameters
    ----------
    n_genes
        Size G of the panel.
    hidden
        Width d, a multiple of ``n_heads``.
    n_heads
        Number H of attention heads.
    dropout
        Share of the hidden units dropped while training.
    """

    def __init__(self, n_genes: int, hidden: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(hidden)
        self.edges = FrameEncoder(hidden)
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden)
        self.edge = nn.Linear(hidden, hidden, bias=False)
        self.difference = nn.Linear(n_genes, hidden, bias=False)
        self.score = nn.Parameter(torch.empty(n_heads, hidden // n_heads))
        nn.init.normal_(self.score, std=(hidden // n_heads) ** -0.5)
        self.update = nn.Sequential(
            nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden)
        )
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, 2 * hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
        )

    def forward(self, z: Tensor, y: Tensor, graph: SpotGraph) -> Tensor:
        """Update the spots' states z, shape (N, d), given expression y, shape (N, G)."""
        normed, edges = self.norm(z), self.edges(graph.geometry)
        weights = self._weights(normed, y, edges, graph)
        values = self.value(normed).index_select(0, graph.source)
        values = self._gather(values, weights, graph)
        context = self._gather(edges, weights, graph)
        z = z + self.update(torch.cat([values, context], dim=1))
        return z + self.feed_forward(z)

    def _weights(self, z: Tensor, y: Tensor, edges: Tensor, graph: SpotGraph) -> Tensor:
        shift = self.difference(y)
        listening, speaking = self.query(z) - shift, self.key(z) + shift
        mixed = listening.index_select(0, graph.target) + self.edge(edges)
        mixed = mixed + speaking.index_select(0, graph.source)
        per_head = F.silu(mixed).unflatten(1, (self.n_heads, -1))
        return segment_softmax((per_head * self.score).sum(-1), graph.target, graph.n_spots)

    def _gather(self, values: Tensor, weights: Tensor, graph: SpotGraph) -> Tensor:
        weighted = values.unflatten(1, (self.n_heads, -1)) * weights[..., None]
        gathered = weighted.new_zeros(graph.n_spots, values.shape[1])
        return gathered.index_add(0, graph.target, weighted.flatten(1))
