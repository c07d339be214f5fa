"""The denoiser's equations as they stand, all pairs of spots at once, to measure speed against.

Every evaluation computes all distances, finds the neighbours, their frames (by a numerical
eigendecomposition) and the edges anew; the score's MLP reads one wide row for each edge, with both
spots' states, the edge and the difference of all genes; attention is an N x N matrix for each
head. It takes its parameters from the package's network, and gives the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from stflow.model.denoiser._attention import SpatialAttention
from stflow.model.denoiser._denoiser import Denoiser


def nearest(coords: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Mask (N, N) of the k nearest of each spot and all spots as near as the last; the unit."""
    distance = torch.cdist(coords, coords)
    distance.fill_diagonal_(torch.inf)
    least = distance.topk(min(k, len(coords) - 1), largest=False).values
    return distance <= least[:, -1:] * (1 + 1e-3), least[:, 0].median()


def frames(directions: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """Geometry of the edges in four frames, shape (E, 4, 3), gated where the axes are noise."""
    degree = mask.sum(1).clamp(min=1)[:, None]
    sums = torch.zeros(len(mask), 2, dtype=directions.dtype)
    centred = directions - (sums.index_add(0, target, directions) / degree)[target]
    outer = centred[:, :, None] * centred[:, None]
    moments = torch.zeros(len(mask), 2, 2, dtype=outer.dtype).index_add(0, target, outer)
    values, vectors = torch.linalg.eigh(moments / degree[:, None])
    gap = (values[:, 1] - values[:, 0]) / values.sum(1).clamp(min=1e-30)
    axes = vectors.flip(2) * gap[:, None, None]
    along = (directions[:, None] @ axes[target])[:, 0]
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=along.dtype)
    length = directions.norm(dim=1)[:, None, None].expand(-1, 4, 1)
    return torch.cat([along[:, None] * signs, length], dim=2)


def attend(layer: SpatialAttention, z: Tensor, y: Tensor, coords: Tensor, k: int) -> Tensor:
    """One layer."""
    mask, unit = nearest(coords, k)
    target, source = mask.nonzero().T
    geometry = frames((coords[source] - coords[target]) / unit, mask, target)
    edges = layer.edges.outer(silu(layer.edges.inner(geometry.to(z.dtype)))).mean(1)
    normed = layer.norm(z)
    maps = (layer.query, layer.key, layer.edge, layer.difference)
    wide = torch.cat([each.weight for each in maps], dim=1)
    rows = torch.cat([normed[target], normed[source], edges, y[source] - y[target]], dim=1)
    hidden = silu(rows @ wide.T + layer.query.bias).unflatten(1, (layer.n_heads, -1))
    values = layer.value(normed)
    gathered_values, gathered_edges = [], []
    for h in range(layer.n_heads):
        scores = torch.full(mask.shape, -torch.inf, dtype=z.dtype)
        scores[target, source] = hidden[:, h] @ layer.score[h]
        weights = torch.softmax(scores, dim=1)
        own = slice(h * hidden.shape[2], (h + 1) * hidden.shape[2])
        gathered_values.append(weights @ values[:, own])
        weighted = weights[target, source][:, None] * edges[:, own]
        gathered_edges.append(torch.zeros_like(gathered_values[-1]).index_add(0, target, weighted))
    z = z + layer.update(torch.cat([*gathered_values, *gathered_edges], dim=1))
    return z + layer.feed_forward(z)


def denoise(
    denoiser: Denoiser, y: Tensor, features: Tensor, coords: Tensor, t: float, k: int
) -> Tensor:
    """Predict the end point; y (N, G), features (N, F), coords (N, 2) in float64."""
    z = denoiser.project(features) + denoiser.time(torch.full((1,), t))
    guesses = []
    for layer, head in denoiser.blocks():
        z = attend(layer, z, y, coords, k)
        y = head(z)
        guesses.append(y)
    return torch.stack(guesses).mean(0)
