"""The flow with an E(2)-steerable network over a grid of spots in the denoiser's place. Slides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor, nn
from torch.nn import functional as F

from stflow._random import spawn_seeds
from stflow._square import N_SYMMETRIES
from stflow.bench.methods._parts import (
    Deep,
    FieldNorm,
    Residual,
    SteerableConv,
    Training,
    start_from,
)
from stflow.flow import fit_prior, interpolate, sample
from stflow.model import Config, Features
from stflow.model.denoiser import N_STEPS, TimeEncoder
from stflow.model.training import TensorSlide, to_tensors
from stflow.slide import Slide, neighbour_distance

SIDE, REACH, N_NEAREST = 5, 0.6, 3
N_FIELDS, N_LAST, N_BLOCKS = 8, 64, 4
BATCHES, BATCH_SIZE, CHUNK = 32, 256, 1024
N_SAMPLES = 2
EMPTY = -1


def spot_grids(coords: np.ndarray, unit: float) -> np.ndarray:
    """Arrange the spots around each spot on a 5 x 5 grid, itself in the middle.

    A place takes the nearest spot within 0.6 ``unit``, the nearest pairs first and no spot twice.
    Of spots as near, that with the lowest y, then the lowest x, comes first.

    Parameters
    ----------
    coords
        Spot centres, shape (N, 2).
    unit
        Distance between places.

    Returns
    -------
    Number of a spot or ``EMPTY``, shape (N, 25), rows of the grid along y.
    """
    n_spots, (y, x) = len(coords), np.indices((SIDE, SIDE)).reshape(2, -1) - SIDE // 2
    places = coords[:, None] + unit * np.column_stack([x, y])
    k = range(1, min(N_NEAREST, n_spots) + 1)
    away, spot = KDTree(coords).query(places, k=k, distance_upper_bound=REACH * unit)
    place = np.broadcast_to(np.arange(SIDE**2)[:, None], spot.shape)
    rank = np.argsort(np.append(np.lexsort(coords.T), n_spots))
    away, spot, place = (part.reshape(n_spots, -1) for part in (away, spot, place))
    order = np.lexsort((rank[spot], place, np.round(away / unit, 6)))
    grids, rows = np.full((n_spots, SIDE**2), EMPTY), np.arange(n_spots)
    for nth in order.T:
        here, there = spot[rows, nth], place[rows, nth]
        free = (grids[rows, there] == EMPTY) & (here < n_spots) & (grids != here[:, None]).all(1)
        grids[rows[free], there[free]] = here[free]
    return grids


class SteerableDenoiser(nn.Module):
    """Ten layers of steerable convolutions over the grid around a spot.

    What it predicts stays the same when the tissue is mirrored or turned by right angles.

    Parameters
    ----------
    n_features, n_genes
        Width F of the image features and size G of the panel.
    config
        Hidden width and dropout.
    """

    def __init__(self, n_features: int, n_genes: int, config: Config) -> None:
        super().__init__()
        hidden = config.hidden
        self.project = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(n_features, hidden))
        self.expression = nn.Linear(n_genes, hidden, bias=False)
        self.time = TimeEncoder(hidden)
        self.body = nn.Sequential(
            SteerableConv(hidden, N_FIELDS, lift=True),
            *(Residual(N_FIELDS, config.dropout) for _ in range(N_BLOCKS)),
            FieldNorm(N_FIELDS),
            nn.ReLU(),
        )
        self.last = SteerableConv(N_FIELDS, N_LAST, padding=0)
        self.head = nn.Linear(N_LAST, n_genes)

    def states(self, features: Tensor, y: Tensor, t: float) -> Tensor:
        """Tell what all spots show at time t, and a row of zeros for none, shape (N + 1, d)."""
        time = self.time(torch.full((1,), t, device=y.device))
        return F.pad(self.project(features) + self.expression(y) + time, (0, 0, 0, 1))

    def forward(self, states: Tensor, grids: Tensor) -> Tensor:
        """Predict the end point of the spots in the middle of grids (B, 25), shape (B, G)."""
        rows = torch.where(grids == EMPTY, len(states) - 1, grids).flatten()
        tiles = states.index_select(0, rows).unflatten(0, (-1, SIDE, SIDE)).movedim(-1, 1)
        middle = self.last(self.body(tiles)[..., 1:-1, 1:-1])
        return self.head(middle.flatten(1).unflatten(1, (-1, N_SYMMETRIES)).amax(2))


class Batch(NamedTuple):
    """Some spots of a slide, at a time of the flow.

    Parameters
    ----------
    slide
        Number of the slide.
    spots
        Which are learned from, shape (B,).
    noisy, t
        Expression of all spots on the path, shape (N, G), and the time.
    """

    slide: int
    spots: Tensor
    noisy: Tensor
    t: float


class SteerableTraining(Training):
    """Flow matching with `SteerableDenoiser`; arguments of `Deep._setup`."""

    network: SteerableDenoiser

    def __init__(self, slides: list[Slide], seed: int, device: torch.device) -> None:
        config = Config()
        self.device, self.seeds = device, spawn_seeds(seed, N_SAMPLES)
        self.features = Features.fit(slides, config.n_components, seed)
        self.slides: list[TensorSlide] = to_tensors(slides, self.features)
        self.grids = [self._grids(slide) for slide in slides]
        self.inputs = [slide.features.to(device) for slide in self.slides]
        expression = torch.cat([slide.expression for slide in self.slides])
        generator = torch.Generator().manual_seed(seed)
        counts = expression.expm1().round()
        self.prior = fit_prior(str(config.prior), counts, {}, generator=generator)
        self.network = SteerableDenoiser(self.features.width, expression.shape[1], config)
        start_from(self.network.head, slides)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Draw spots of one slide after the other."""
        for draw in range(max(BATCHES, len(self.slides))):
            which = draw % len(self.slides)
            y1, t = self.slides[which].expression, float(rng.uniform())
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            y0 = self.prior.sample(tuple(y1.shape), generator)
            spots = rng.permutation(len(y1))[:BATCH_SIZE]
            yield Batch(which, torch.from_numpy(spots), interpolate(y0, y1, t).to(self.device), t)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of the predicted end point."""
        states = self.network.states(self.inputs[batch.slide], batch.noisy, batch.t)
        predicted = self.network(states, self.grids[batch.slide][batch.spots].to(self.device))
        measured = self.slides[batch.slide].expression[batch.spots]
        return F.mse_loss(predicted, measured.to(self.device))

    def predict(self, slide: Slide) -> np.ndarray:
        """Mean of samples of the flow, shape (N, G)."""
        features = self.features(slide.embedding, slide.graph).to(self.device)
        chunks = self._grids(slide).to(self.device).split(CHUNK)

        def denoise(y: Tensor, t: float) -> Tensor:
            states = self.network.states(features, y, t)
            return torch.cat([self.network(states, grids) for grids in chunks])

        shape = slide.n_spots, self.network.head.out_features
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        starts = [self.prior.sample(shape, each).to(self.device) for each in generators]
        samples = [sample(denoise, y0, N_STEPS) for y0 in starts]
        return torch.stack(samples).mean(0).cpu().numpy()

    def _grids(self, slide: Slide) -> Tensor:
        unit = neighbour_distance(slide.coords, slide.graph)
        return torch.from_numpy(spot_grids(slide.coords, unit))


class FlowE2CNN(Deep):
    """The flow with an E(2)-steerable residual network over the 5 x 5 spots around each spot.

    As in appendix A of the preprint: ten layers, the image features of the spots as channels.
    The group is that of the square's eight symmetries, with eight fields of eight channels; the
    features are first mapped to a width of 128, the current expression and the time added.
    Places of the grid are a neighbour distance apart, along the axes of the coordinates. The
    prediction is the mean of two samples. An epoch is 32 batches of 256 spots. Unlike `Flow`, it is
    trained again on all slides for the number of epochs that was best, and its weights are not
    averaged.

    The network and its symmetries are written here: at the time of writing neither ``e2cnn`` nor
    ``escnn`` runs with the current numpy and scikit-learn.
    """

    citation = "weiler2019e2cnn"

    def _setup(self, slides: list[Slide], seed: int, device: torch.device) -> SteerableTraining:
        return SteerableTraining(slides, seed, device)
