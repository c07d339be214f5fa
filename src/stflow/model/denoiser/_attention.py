"""Spatial attention over frame-averaged neighbourhoods. Pure tensors.

Rows are picked with ``index_select``: the gradient of plain indexing adds up in random order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stflow.model.denoiser._graph import SpotGraph

SIGNS = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
LENGTH_ALONE = ((0.0, 0.0),)


class FrameEncoder(nn.Module):
    """Edge embedding ``e_ij``: an MLP averaged over the four frames (equations 5 to 7).

    Its second map is linear, so it is applied after whatever is linear in ``e_ij``: the
    average over frames, the score's first map, and the sum over neighbours.

    Parameters
    ----------
    hidden
        Width d of the embedding.
    width
        Hidden units of the MLP.
    frames
        Whether it reads directions, or lengths alone.
    """

    frames: Tensor

    def __init__(self, hidden: int, width: int, *, frames: bool = True) -> None:
        super().__init__()
        self.inner = nn.Linear(3, width)
        self.outer = nn.Linear(width, hidden, bias=False)
        read = torch.tensor([[*signs, 1.0] for signs in (SIGNS if frames else LENGTH_ALONE)])
        self.register_buffer("frames", read, persistent=False)

    def forward(self, geometry: Tensor) -> Tensor:
        """Hidden units averaged over the frames, from the edges' geometry: (E, 3) to (E, width)."""
        geometry = geometry.to(self.frames.dtype)
        weight, bias = self.inner.weight, self.inner.bias
        hidden = [F.silu(F.linear(geometry, weight * frame, bias)) for frame in self.frames]
        return sum(hidden[1:], hidden[0]) / len(hidden)


class Messages(NamedTuple):
    """What the spots ask of their neighbours and offer them, each of shape (N, d)."""

    listening: Tensor
    speaking: Tensor
    values: Tensor


def segment_softmax(scores: Tensor, graph: SpotGraph) -> Tensor:
    """Softmax of the scores (E, H) over the edges that share a target."""

    def reduce(values: Tensor, how: str) -> Tensor:
        reduced = torch.segment_reduce(values, how, offsets=graph.offsets, unsafe=True)
        return reduced.index_select(0, graph.target)

    weights = torch.exp(scores - reduce(scores.detach(), "max"))
    return weights / reduce(weights, "sum")


def weighted_sum(rows: Tensor, table: Tensor, weights: Tensor, graph: SpotGraph) -> Tensor:
    """Add up rows of a table over the edges of each target, head by head.

    Parameters
    ----------
    rows, weights
        Row of the table that each head takes for each edge, and its weight; shape (H, E).
    table
        Shape (rows, width).

    Returns
    -------
    Shape (H, N, width).
    """
    n_heads, n_edges = weights.shape
    heads = torch.arange(n_heads, device=rows.device)[:, None]
    starts = graph.offsets[:-1] + n_edges * heads
    added = F.embedding_bag(
        rows.reshape(-1),
        table,
        starts.reshape(-1),
        mode="sum",
        per_sample_weights=weights.reshape(-1).to(table.dtype),
    )
    return added.unflatten(0, (n_heads, graph.n_spots))


class SpatialAttention(nn.Module):
    """Attention of a spot over its neighbours, and the feed-forward block after it.

    The first linear map of the score's MLP splits into one product for the query, one for the
    key, one for the edge and one for the difference in expression, so the number of genes never
    meets the number of edges (equations 8 to 10). The work falls into what each spot does
    alone (`messages`), and what it does with what its neighbours say (`forward`): weigh it
    (`weights`) and be moved by it (`move`).

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
    frames
        Whether edges carry their direction beside their length.
    """

    def __init__(
        self, n_genes: int, hidden: int, n_heads: int, dropout: float, *, frames: bool = True
    ) -> None:
        super().__init__()
        self.n_heads, width = n_heads, hidden // n_heads
        self.norm = nn.LayerNorm(hidden)
        self.edges = FrameEncoder(hidden, width, frames=frames)
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden)
        self.edge = nn.Linear(hidden, hidden, bias=False)
        self.difference = nn.Linear(n_genes, hidden, bias=False)
        self.score = nn.Parameter(torch.empty(n_heads, width))
        nn.init.normal_(self.score, std=width**-0.5)
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

    def messages(self, z: Tensor, y: Tensor) -> Messages:
        """Tell what spots with states z (N, d) and expression y (N, G) say."""
        dtype = self.query.weight.dtype
        normed, shift = self.norm(z.to(dtype)), self.difference(y.to(dtype))
        return Messages(self.query(normed) - shift, self.key(normed) + shift, self.value(normed))

    def forward(self, z: Tensor, messages: Messages, edges: Tensor, graph: SpotGraph) -> Tensor:
        """Update the states of the spots that listen.

        Parameters
        ----------
        z
            States of the N listening spots, shape (N, d).
        messages
            ``listening`` of these spots; the rest of all spots that ``graph.source`` points to.
        edges
            What `edges` made of the graph's geometry, shape (E, d / H).
        graph
            Edges of the N spots.
        """
        return self.move(z, messages, edges, self.weights(messages, edges, graph), graph)

    def weights(self, messages: Messages, edges: Tensor, graph: SpotGraph) -> Tensor:
        """Attention of each edge and head, shape (E, H), from arguments of `forward`."""
        mixed = messages.speaking.index_select(0, graph.source)
        mixed += messages.listening.index_select(0, graph.target)
        mixed.addmm_(edges, (self.edge.weight @ self.edges.outer.weight).T)
        scores = F.linear(F.silu(mixed, inplace=True), torch.block_diag(*self.score.split(1)))
        wide = torch.promote_types(scores.dtype, torch.float32)
        return segment_softmax(scores.to(wide), graph)

    def move(
        self, z: Tensor, messages: Messages, edges: Tensor, weights: Tensor, graph: SpotGraph
    ) -> Tensor:
        """Update the states with `weights` and the other arguments of `forward`."""
        weights = weights.T
        heads = torch.arange(self.n_heads, device=z.device)[:, None]
        table = messages.values.reshape(-1, edges.shape[1])
        values = weighted_sum(graph.source * self.n_heads + heads, table, weights, graph)
        every = torch.arange(edges.shape[0], device=z.device).expand_as(weights)
        context = weighted_sum(every, edges, weights, graph)
        outer = self.edges.outer.weight.unflatten(0, (self.n_heads, -1))
        context = torch.bmm(context, outer.transpose(1, 2))
        gathered = torch.cat([values, context]).transpose(0, 1).flatten(1)
        z = z + self.update(gathered)
        return z + self.feed_forward(z.to(gathered.dtype))
