"""The denoiser's equations, one spot and one edge at a time in float64. Slow, written for reading.

It takes only parameters from the package. Linear maps of the score's MLP that the package adds up
separately are joined here into the wide one of the equations.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import layer_norm, silu


def frames(directions: torch.Tensor) -> list[torch.Tensor]:
    """The four projections of a neighbourhood on its principal axes, gated where they are noise."""
    centred = directions - directions.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(directions))
    total = values.sum()
    gap = (values[1] - values[0]) / total if total > 0 else torch.tensor(0.0).double()
    axes = torch.stack([vectors[:, 1], vectors[:, 0]], dim=1)
    projected = gap * (directions @ axes)
    return [projected * torch.tensor([a, b]).double() for a in (1, -1) for b in (1, -1)]


def edge_embeddings(layer, directions: torch.Tensor) -> torch.Tensor:
    lengths = directions.norm(dim=1, keepdim=True)
    per_frame = [
        layer.edges.outer(silu(layer.edges.inner(torch.cat([frame, lengths], dim=1))))
        for frame in frames(directions)
    ]
    return torch.stack(per_frame).mean(0)


def attend(layer, i: int, z: torch.Tensor, y: torch.Tensor, neighbours, edges):
    """What spot i gathers, and its attention to each neighbour, the mean over heads."""
    n_heads, width = layer.score.shape
    wide = torch.cat(
        [layer.query.weight, layer.key.weight, layer.edge.weight, layer.difference.weight], dim=1
    )
    heads_values, heads_edges, heads_weights = [], [], []
    for head in range(n_heads):
        rows = slice(head * width, (head + 1) * width)
        scores = []
        for j, e_ij in zip(neighbours, edges, strict=True):
            joined = torch.cat([z[i], z[j], e_ij, y[j] - y[i]])
            hidden = silu(wide[rows] @ joined + layer.query.bias[rows])
            scores.append(layer.score[head] @ hidden)
        weights = torch.softmax(torch.stack(scores), dim=0)
        values = torch.stack([layer.value(z[j])[rows] for j in neighbours])
        heads_values.append(weights @ values)
        heads_edges.append(weights @ edges[:, rows])
        heads_weights.append(weights)
    return torch.cat([*heads_values, *heads_edges]), torch.stack(heads_weights).mean(0)


def denoise(denoiser, y, features, t, coords, graph) -> torch.Tensor:
    """Evaluate a denoiser in eval mode; everything in float64, ``t`` one number."""
    return evaluate(denoiser, y, features, t, coords, graph)[0]


@torch.no_grad()
def evaluate(denoiser, y, features, t, coords, graph) -> tuple[torch.Tensor, torch.Tensor]:
    """As `denoise`, and the attention (N, N) averaged over layers and heads."""
    denoiser = denoiser.double()
    y, coords = torch.as_tensor(y).double(), torch.as_tensor(coords).double()
    angles = t * denoiser.time.frequencies
    time = denoiser.time.mlp(torch.cat([angles.sin(), angles.cos()]))
    z = torch.stack([denoiser.project(row) for row in torch.as_tensor(features).double()]) + time
    nearest = [
        min((float((coords[j] - coords[i]).norm()) for j in graph[i].indices), default=np.inf)
        for i in range(len(coords))
    ]
    finite = [length for length in nearest if np.isfinite(length)]
    unit = float(np.median(finite)) if finite else 1.0
    attention = torch.zeros(len(coords), len(coords)).double()
    guesses = []
    for layer, head in zip(denoiser.layers, denoiser.heads, strict=True):
        normed = layer_norm(z, z.shape[1:], layer.norm.weight, layer.norm.bias, layer.norm.eps)
        new = []
        for i in range(len(coords)):
            neighbours = [int(j) for j in graph[i].indices]
            gathered = torch.zeros(2 * z.shape[1]).double()
            if neighbours:
                directions = (coords[neighbours] - coords[i]) / unit
                edges = edge_embeddings(layer, directions)
                gathered, weights = attend(layer, i, normed, y, neighbours, edges)
                attention[i, neighbours] += weights / len(denoiser.layers)
            updated = z[i] + layer.update(gathered)
            new.append(updated + layer.feed_forward(updated))
        z = torch.stack(new)
        y = torch.stack([head(row) for row in z])
        guesses.append(y)
    return torch.stack(guesses).mean(0), attention
