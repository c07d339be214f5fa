"""How unlike the training slides a spot looks: relations between channels that it breaks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from scipy.stats import f
from sklearn.decomposition import PCA
from torch import Tensor, nn

from stflow.slide import Slide, deviations, neighbour_weights, row_blocks

MAX_SPOTS, MAX_RELATIONS, MAX_COMPONENTS, SPOTS_A_COMPONENT = 4000, 128, 64, 8
RIDGE, LEAST_LEFT, LEAST_SLIDE = 0.1, 1e-3, 0.01
USUAL, DIRECTIONS = 0.95, 3


class Novelty(nn.Module):
    """Distance from relations that hold between the channels of training embeddings.

    What kind of tissue a spot is moves all channels of its embedding together, along a few
    components. Channels that these components tell almost wholly, such as colours, are expected
    from them; what is left of each, whitened, is near 0 on slides like those of the fit, and is
    moved by another stain or scanner, or by tissue of another kind.

    Two squares are added: of a spot, over itself and its neighbours, and of its slide, over the
    median of all its spots, which makes novelty transductive. Each is measured in what it is on
    average on slides left out of the fit, and the root of the sum in what 95 % of their spots
    stay below.

    Parameters
    ----------
    n_inputs, n_relations
        Width F of the embedding, and number M of relations.
    """

    mean: Tensor
    relations: Tensor
    usual: Tensor
    reach: Tensor

    def __init__(self, n_inputs: int, n_relations: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("relations", torch.zeros(n_relations, n_inputs))
        self.register_buffer("usual", torch.ones(2))
        self.register_buffer("reach", torch.ones(()))

    @classmethod
    def fit(cls, slides: list[Slide], seed: int) -> Self:
        """Learn the relations from training slides, from at most 4,000 of their spots."""
        embedding = _draw(slides, seed)
        mean, scale = deviations(embedding)
        relations = _relations((embedding - mean) / scale, seed) / scale
        novelty = cls(len(mean), len(relations))
        novelty.mean.copy_(torch.from_numpy(mean))
        novelty.relations.copy_(torch.from_numpy(relations))
        return novelty

    def calibrate(self, left_out: list[tuple[Tensor, Tensor]]) -> None:
        """Learn what is usual from the `squares` of slides that their relations had not seen.

        Few slides say little of how far the next one may lie, so the reach grows to what the F
        distribution expects of it after so many.
        """
        spots, slide = (torch.cat(each) for each in zip(*map(_alike, left_out), strict=True))
        self.usual[0] = spots.mean().clamp(min=1e-6)
        self.usual[1] = slide.mean().clamp(min=LEAST_SLIDE)
        self.reach.fill_(1)
        novelty = torch.cat([self._add(*each) for each in left_out])
        far = np.quantile(spots.numpy(), USUAL) / float(self.usual[0])
        next_slide = f.ppf(USUAL, DIRECTIONS, DIRECTIONS * len(left_out))
        self.reach.fill_(max(float(np.quantile(novelty.numpy(), USUAL)), (far + next_slide) ** 0.5))

    @torch.inference_mode()
    def squares(self, embedding: Any, graph: sp.csr_matrix) -> tuple[Tensor, Tensor]:
        """Mean square of what is left, of each spot (N,) and of the slide (), on the CPU."""
        left = np.empty((embedding.shape[0], len(self.relations)), dtype=np.float32)
        for rows, block in row_blocks(embedding):
            left[rows] = (torch.from_numpy(block) - self.mean) @ self.relations.T
        middle = np.square(np.median(left, axis=0)).mean() - 1 / len(left)
        weights = neighbour_weights(graph)
        n_neighbours = weights.getnnz(1)[:, None]
        left += n_neighbours * (weights @ left)
        left /= 1 + n_neighbours
        spots = torch.from_numpy(np.square(left).mean(1))
        return spots, spots.new_tensor(max(float(middle), 0.0))

    def forward(self, embedding: Any, graph: sp.csr_matrix) -> Tensor:
        """Novelty of one slide's spots, shape (N,): 95 % of left-out spots are below 1."""
        return self._add(*self.squares(embedding, graph))

    def _add(self, spots: Tensor, slide: Tensor) -> Tensor:
        return (spots / self.usual[0] + slide / self.usual[1]).sqrt() / self.reach


def _alike(squares: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Squares of the spots, and of their slide once a spot, (N,) each."""
    spots, slide = squares
    return spots, slide.expand(len(spots))


def _draw(slides: list[Slide], seed: int) -> np.ndarray:
    """Embeddings of training spots, shape (n, F), the same share of each slide."""
    n_spots = sum(slide.n_spots for slide in slides)
    rng, share = np.random.default_rng(seed), min(1.0, MAX_SPOTS / n_spots)
    parts = []
    for slide in slides:
        n = max(1, int(share * slide.n_spots))
        spots = np.sort(rng.choice(slide.n_spots, n, replace=False))
        parts.append(np.asarray(slide.embedding[spots], dtype=np.float32))
    return np.concatenate(parts)


def _relations(inputs: np.ndarray, seed: int) -> np.ndarray:
    """Whitened rest of the channels that few components tell best, shape (M, F).

    Parameters
    ----------
    inputs
        Standardised embeddings, shape (n, F); 0 in channels that do not vary.
    seed
        Seed of the decomposition.
    """
    n, width = inputs.shape
    varying = np.flatnonzero(inputs.any(0))
    if not len(varying):
        return np.zeros((1, width), dtype=np.float32)
    kept = min(MAX_COMPONENTS, len(varying) // 2, n // SPOTS_A_COMPONENT)
    axes = np.zeros((0, width), dtype=np.float32)
    if kept:
        axes = PCA(kept, svd_solver="randomized", random_state=seed).fit(inputs).components_
    left = inputs - (inputs @ axes.T) @ axes
    spread = np.maximum(left.std(0), LEAST_LEFT)
    chosen = varying[np.argsort(spread[varying], kind="stable")[:MAX_RELATIONS]]
    rows = (np.eye(width, dtype=np.float32)[chosen] - axes[:, chosen].T @ axes)
    rows /= spread[chosen, None]
    squares, turn = np.linalg.eigh(np.cov(left[:, chosen] / spread[chosen], rowvar=False, ddof=0))
    whiten = turn / np.sqrt(np.maximum(squares, 0) + RIDGE)
    return (whiten.T @ rows).astype(np.float32)
