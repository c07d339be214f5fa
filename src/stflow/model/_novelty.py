"""How unlike the training slides a spot looks: relations between channels that it breaks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from scipy.stats import f
from sklearn.decomposition import PCA
from torch import Tensor, nn

from stflow.slide import deviations, neighbour_weights, row_blocks

MAX_SPOTS, MAX_RELATIONS, MAX_COMPONENTS, SPOTS_A_COMPONENT = 4000, 128, 64, 8
RIDGE, LEAST_LEFT, LEAST_SLIDE = 0.1, 1e-3, 0.01
FAMILIAR = 0.25
USUAL, DIRECTIONS = 0.95, 3


class Novelty(nn.Module):
    """Distance from relations that hold between the channels of training embeddings.

    What kind of tissue a spot is moves all channels of its embedding together, along a few
    components. Channels that these components tell almost wholly, such as colours, are expected
    from them; what is left of each, whitened, is near 0 on slides like those of the fit, and is
    moved by another stain or scanner, or by tissue of another kind. Along the components
    themselves counts only what lies beyond the training spots.

    Two squares are added: of a spot, as a mean over itself and its neighbours, and of its slide,
    as a mean over the quarter of its spots that is most familiar, so that a mark on a part of it
    is no matter of the rest. The latter looks at the whole slide, so novelty is transductive. Each
    is measured in what it is on average on slides left out of the fit, and the root of the sum in
    what at least 95 % of their spots stay below.

    Parameters
    ----------
    n_inputs, n_relations
        Width F of the embedding, and number R of relations and components.
    """

    mean: Tensor
    relations: Tensor
    free: Tensor
    usual: Tensor
    reach: Tensor

    def __init__(self, n_inputs: int, n_relations: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("relations", torch.zeros(n_relations, n_inputs))
        self.register_buffer("free", torch.zeros(n_relations))
        self.register_buffer("usual", torch.ones(2))
        self.register_buffer("reach", torch.ones(()))

    @classmethod
    def fit(cls, embeddings: list[Any], seed: int) -> Self:
        """Learn the relations from slides' embeddings (N, F), from at most 4,000 of their rows."""
        embedding = _draw(embeddings, seed)
        mean, scale = deviations(embedding)
        relations, free = _relations((embedding - mean) / scale, seed)
        novelty = cls(len(mean), len(relations))
        novelty.mean.copy_(torch.from_numpy(mean))
        novelty.relations.copy_(torch.from_numpy(relations / scale))
        novelty.free.copy_(torch.from_numpy(free))
        return novelty

    def calibrate(self, left_out: list[tuple[Tensor, Tensor]], n_groups: int) -> None:
        """Learn what is usual from the `squares` of slides that their relations had not seen.

        Few groups of them, such as patients, say little of how far the next one may lie, so the
        reach grows to what the F distribution expects of it after ``n_groups``.
        """
        spots, slide = (torch.cat(each) for each in zip(*map(_alike, left_out), strict=True))
        self.usual[0] = spots.mean().clamp(min=1e-6)
        self.usual[1] = slide.mean().clamp(min=LEAST_SLIDE)
        self.reach.fill_(1)
        novelty = torch.cat([self._add(*each) for each in left_out])
        far = np.quantile(spots.numpy(), USUAL) / float(self.usual[0])
        next_slide = f.ppf(USUAL, DIRECTIONS, DIRECTIONS * n_groups)
        self.reach.fill_(max(float(np.quantile(novelty.numpy(), USUAL)), (far + next_slide) ** 0.5))

    @torch.inference_mode()
    def squares(self, embedding: Any, graph: sp.csr_matrix) -> tuple[Tensor, Tensor]:
        """Mean square of what is left, of each spot (N,) and of the slide (), on the CPU."""
        left = np.empty((embedding.shape[0], len(self.relations)), dtype=np.float32)
        free = self.free.numpy()
        for rows, block in row_blocks(embedding):
            left[rows] = ((torch.from_numpy(block) - self.mean) @ self.relations.T).numpy()
        weights = neighbour_weights(graph)
        n_neighbours = weights.getnnz(1)[:, None]
        left += n_neighbours * (weights @ left)
        left /= 1 + n_neighbours
        left -= left.clip(-free, free)
        n_relations = max(int((free == 0).sum()), 1)
        spots = np.square(left).sum(1) / n_relations
        n = max(1, int(FAMILIAR * len(left)))
        shared = left[np.argsort(spots, kind="stable")[:n]].mean(0)
        slide = max(float(np.square(shared).sum()) / n_relations - 1 / n, 0.0)
        return torch.from_numpy(spots), torch.tensor(slide)

    def forward(self, embedding: Any, graph: sp.csr_matrix) -> Tensor:
        """Novelty of one slide's spots, shape (N,): 95 % of left-out spots are below 1."""
        return self._add(*self.squares(embedding, graph))

    def _add(self, spots: Tensor, slide: Tensor) -> Tensor:
        return (spots / self.usual[0] + slide / self.usual[1]).sqrt() / self.reach


def _alike(squares: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Squares of the spots, and of their slide once a spot, (N,) each."""
    spots, slide = squares
    return spots, slide.expand(len(spots))


def _draw(embeddings: list[Any], seed: int) -> np.ndarray:
    """Rows of embeddings, shape (n, F), the same share of each slide."""
    n_spots = sum(each.shape[0] for each in embeddings)
    rng, share = np.random.default_rng(seed), min(1.0, MAX_SPOTS / n_spots)
    parts = []
    for each in embeddings:
        n = max(1, int(share * each.shape[0]))
        spots = np.sort(rng.choice(each.shape[0], n, replace=False))
        parts.append(np.asarray(each[spots], dtype=np.float32))
    return np.concatenate(parts)


def _relations(inputs: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whitened rest of the channels that few components tell best, and these components.

    Parameters
    ----------
    inputs
        Standardised embeddings, shape (n, F); 0 in channels that do not vary.
    seed
        Seed of the decomposition.

    Returns
    -------
    Directions of unit variance, shape (R, F), and what is free along each, shape (R,): nothing
    along relations, the range of the inputs along components.
    """
    n, width = inputs.shape
    varying = np.flatnonzero(inputs.any(0))
    if not len(varying):
        return np.zeros((1, width), dtype=np.float32), np.zeros(1, dtype=np.float32)
    kept = min(MAX_COMPONENTS, len(varying) // 2, n // SPOTS_A_COMPONENT)
    axes = np.zeros((0, width), dtype=np.float32)
    if kept:
        axes = PCA(kept, svd_solver="randomized", random_state=seed).fit(inputs).components_
    tissue = inputs @ axes.T
    left = inputs - tissue @ axes
    spread = np.maximum(left.std(0), LEAST_LEFT)
    chosen = varying[np.argsort(spread[varying], kind="stable")[:MAX_RELATIONS]]
    rows = (np.eye(width, dtype=np.float32)[chosen] - axes[:, chosen].T @ axes) / spread[
        chosen, None
    ]
    scaled = left[:, chosen] / spread[chosen]
    squares, turn = np.linalg.eigh(scaled.T @ scaled / n)
    whitened = (turn / np.sqrt(np.maximum(squares, 0) + RIDGE)).T @ rows
    tissue_spread = np.maximum(tissue.std(0), LEAST_LEFT)
    free = np.zeros(len(chosen) + kept, dtype=np.float32)
    free[len(chosen) :] = np.abs(tissue / tissue_spread).max(0)
    return np.concatenate([whitened, axes / tissue_spread[:, None]]).astype(np.float32), free
