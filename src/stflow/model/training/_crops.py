"""What training draws: contiguous crops of slides, each at a random time of the flow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
import torch
from scipy.spatial import KDTree
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset, Sampler

from stflow.flow import Prior, interpolate
from stflow.model.denoiser import SpotGraph, join, spot_graph
from stflow.model.training._folds import cut_in_halves
from stflow.slide import MAX_CROP, draw_crop, neighbour_distance

MIN_DRAWS, MAX_DRAWS = 32, 64


@dataclass(frozen=True, slots=True, eq=False)
class TensorSlide:
    """A slide ready for the denoiser.

    Parameters
    ----------
    coords, adjacency
        Spot centres (N, 2) and neighbours (N, N).
    features, expression
        Image features (N, F) and measured expression (N, G).
    weights
        How much each spot's expression is to be trusted, shape (N,).
    auxiliary
        Expression of other genes (N, A), from which the regression learns.
    totals
        Counts of each spot, shape (N,), NaN where unknown.
    regressed
        What the flow reads beside the features: the standardised prediction of a regression that
        has not seen the slide, shape (N, G), or nothing, (N, 0).
    patient
        Whose tissue it is, None where unknown.
    """

    coords: np.ndarray
    adjacency: sp.csr_matrix
    features: Tensor
    expression: Tensor
    weights: Tensor
    auxiliary: Tensor
    totals: Tensor
    regressed: Tensor
    patient: str | None = None

    @property
    def inputs(self) -> tuple[Tensor, np.ndarray, sp.csr_matrix]:
        """What an evaluation of the denoiser reads."""
        return torch.cat([self.features, self.regressed], dim=1), self.coords, self.adjacency

    @property
    def n_spots(self) -> int:
        """Number of spots N."""
        return self.coords.shape[0]

    def subset(self, rows: np.ndarray) -> TensorSlide:
        """Keep some spots and the edges between them."""
        at = torch.from_numpy(rows)
        parts = ("features", "expression", "weights", "auxiliary", "totals", "regressed")
        return replace(
            self,
            coords=self.coords[rows],
            adjacency=self.adjacency[rows][:, rows],
            **{name: getattr(self, name)[at] for name in parts},
        )

    def middle(self, n_spots: int) -> np.ndarray:
        """Return the rows of the spots nearest to the centre, at most ``n_spots``, in order."""
        if self.n_spots <= n_spots:
            return np.arange(self.n_spots)
        away = np.linalg.norm(self.coords - self.coords.mean(0), axis=1)
        return np.sort(np.argsort(away, kind="stable")[:n_spots])

    def halves(self) -> np.ndarray:
        """Cut the slide as `cut_in_halves` says, shape (N,)."""
        return cut_in_halves(self.coords, neighbour_distance(self.coords, self.adjacency))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Several crops side by side: N spots in all.

    Parameters
    ----------
    noisy, expression
        Point on the path and its end, each (N, G).
    features
        Image features, shape (N, F).
    weights
        Weight of each spot in the loss, shape (N,).
    t
        Time of each spot, shape (N,).
    graph
        Edges within each crop.
    """

    noisy: Tensor
    expression: Tensor
    features: Tensor
    weights: Tensor
    t: Tensor
    graph: SpotGraph

    def to(self, device: torch.device, **_: Any) -> Batch:
        """Return the same batch on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))

    @staticmethod
    def collate(items: list[Batch]) -> Batch:
        """Join batches, without padding and without an edge between them."""
        return Batch(
            torch.cat([item.noisy for item in items]),
            torch.cat([item.expression for item in items]),
            torch.cat([item.features for item in items]),
            torch.cat([item.weights for item in items]),
            torch.cat([item.t for item in items]),
            join([item.graph for item in items]),
        )


class Crops(Dataset[Batch]):
    """Draw number i is a random spot of slide ``i % n_slides`` with its m nearest, m/N ~ U(0, 1).

    N counts for ``MAX_CROP`` at most: it is steps that teach, not spots. Each draw
    has a generator of its own, so it does not depend on who draws it, nor when.

    Parameters
    ----------
    slides
        Training slides.
    prior
        Distribution at time 0.
    seed
        Seed of all draws.
    flow
        Whether times are drawn; if not, they are all 0.
    """

    def __init__(
        self, slides: list[TensorSlide], prior: Prior, seed: int, *, flow: bool = True
    ) -> None:
        self.slides, self.prior, self.seed, self.flow = slides, prior, seed, flow
        self.units = [neighbour_distance(slide.coords, slide.adjacency) for slide in slides]
        self.trees = [KDTree(slide.coords) for slide in slides]

    def __getitem__(self, draw: int) -> Batch:
        """Return the crop of one draw."""
        rng = np.random.default_rng((self.seed, draw))
        which = draw % len(self.slides)
        crop = self.slides[which].subset(draw_crop(self.trees[which], rng))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        y0 = self.prior.sample(tuple(crop.expression.shape), generator)
        t = float(rng.uniform()) if self.flow else 0.0
        return Batch(
            interpolate(y0, crop.expression, t),
            crop.expression,
            crop.inputs[0],
            crop.weights,
            torch.full((crop.n_spots,), t),
            spot_graph(crop.coords, crop.adjacency, self.units[which]),
        )


def draws_in_epoch(slides: list[TensorSlide]) -> int:
    """Count the draws of a round over the spots, from ``MIN_DRAWS`` to ``MAX_DRAWS``."""
    sizes = np.array([slide.n_spots for slide in slides])
    a_round = round(2 * sizes.sum() / np.minimum(sizes, MAX_CROP).mean())
    return min(max(MIN_DRAWS, a_round), MAX_DRAWS)


def steps_in_epoch(slides: list[TensorSlide], batch_size: int) -> int:
    """Count the steps of such a round."""
    return math.ceil(draws_in_epoch(slides) / batch_size)


class Draws(Sampler[int]):
    """Numbers of the draws of an epoch; no two epochs share one.

    Parameters
    ----------
    per_epoch
        Draws in an epoch.
    """

    def __init__(self, per_epoch: int) -> None:
        self.per_epoch, self.epoch = per_epoch, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; lightning does so before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Draws in an epoch."""
        return self.per_epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the draws of the epoch."""
        first = self.epoch * self.per_epoch
        return iter(range(first, first + self.per_epoch))


class Ranked(Protocol):
    """A process among those that train together."""

    @property
    def global_rank(self) -> int:
        """Its number."""

    @property
    def world_size(self) -> int:
        """How many there are."""


class Shares(BatchSampler):
    """Of the crops of each step those that a process takes; no crop is drawn by two.

    One that would be left without any takes the first of all, which does not count.

    Parameters
    ----------
    draws
        The draws of an epoch.
    batch_size
        Crops in a step, of all processes together.
    process
        The process, asked when an epoch begins.
    """

    def __init__(self, draws: Draws, batch_size: int, process: Ranked) -> None:
        super().__init__(draws, batch_size, drop_last=False)
        self.process = process

    def __iter__(self) -> Iterator[list[int]]:
        """Yield what the process draws in each step."""
        rank, n_ranks = self.process.global_rank, self.process.world_size
        for step in super().__iter__():
            yield step[rank::n_ranks] or step[:1]

    def counts(self, step: int) -> bool:
        """Whether what the process draws in a step counts."""
        left = len(self.sampler) - step * self.batch_size  # type: ignore[arg-type]
        return self.process.global_rank < min(left, self.batch_size)
