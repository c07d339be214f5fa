"""TRIPLEX: a spot, its neighbours and the slide, encoded apart and fused. Slides and tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from stflow.bench.methods._parts import (
    CropDraws,
    Deep,
    Lattice,
    ThreeViews,
    Training,
    fusion_loss,
    in_turn,
    lattice_cells,
    start_from,
    surroundings,
)
from stflow.slide import Slide, row_blocks

N_NEIGHBOURS = 25
MAX_ANSWERS = 256


class TRIPLEX(Deep):
    """Encoders of a spot, of its 25 nearest spots and of the slide, fused by attention.

    As the preprint runs it: fed by embeddings, encoders of two layers and eight heads, dropout
    0.1, coordinates through convolutions over the lattice of spots, crops of up to whole slides
    while training and whole slides in prediction. The loss is the squared error of the fused
    prediction, and for each encoder's own prediction 0.7 of its squared error and 0.3 of its
    squared distance to the fused one. Fusion, in our reading, is attention of the spot's own vector
    over those of its neighbours and of the slide's encoder. Width 128 is set here, and a step
    learns from 256 spots of its crop at most, drawn at random, while the slide's encoder sees
    them all. Neighbours of a spot, itself among them, may lie outside its crop.

    Parameters
    ----------
    protocol, max_epochs, device
        As of every published method.

    References
    ----------
    Chung et al. Accurate Spatial Gene Expression Prediction by Integrating
    Multi-Resolution Features. CVPR 2024.
    """

    citation = "chung2024triplex"
    width: ClassVar[int] = 128

    def _setup(self, slides: list[Slide], seed: int, device: torch.device) -> Training:
        return _TRIPLEXTraining(slides, self.width, device)


class Views(NamedTuple):
    """What is known of the spots that a network answers for.

    Parameters
    ----------
    crop
        Embeddings of all spots of the crop, shape (N, F).
    lattice
        Who is beside whom among them.
    spots
        Those that are answered for, shape (n,).
    around
        Embeddings of spots near any of these, shape (U, F).
    neighbours
        Which of them are near each, shape (n, k).
    """

    crop: Tensor
    lattice: Lattice
    spots: Tensor
    around: Tensor
    neighbours: Tensor


class _Ready:
    """A slide in memory: embeddings (N, F), cells of the lattice, nearest spots (N, k)."""

    def __init__(self, slide: Slide) -> None:
        self.embedding = np.concatenate([block for _, block in row_blocks(slide.embedding)])
        self.cells = lattice_cells(slide.coords, slide.graph)
        k = min(N_NEIGHBOURS, slide.n_spots)
        self.nearest = KDTree(slide.coords).query(slide.coords, [*range(1, k + 1)])[1]

    def crop(self, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Lattice]:
        """Put the spots of a crop on a device."""
        embedding = torch.from_numpy(self.embedding[rows]).to(device)
        return embedding, surroundings(self.cells[rows], device)

    def near(self, spots: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Put ``around`` and ``neighbours`` of some spots on a device."""
        wanted, place = np.unique(self.nearest[spots], return_inverse=True)
        around = torch.from_numpy(self.embedding[wanted]).to(device)
        return around, torch.from_numpy(place.reshape(len(spots), -1)).to(device)


class _TRIPLEXTraining(Training):
    network: ThreeViews

    def __init__(self, slides: list[Slide], width: int, device: torch.device) -> None:
        self.slides, self.device = slides, device
        self.ready = [_Ready(slide) for slide in slides]
        self.crops = CropDraws(slides, most=None)
        embeddings = np.concatenate([ready.embedding for ready in self.ready])
        self.network = ThreeViews(embeddings, len(slides[0].genes), width)
        for head in self.network.heads:
            start_from(head.last, slides)  # type: ignore[arg-type]

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[Views, Tensor]]:
        for which, rows in self.crops.epoch(rng):
            ready, measured = self.ready[which], np.asarray(self.slides[which].expression)
            spots = np.sort(rng.permutation(len(rows))[:MAX_ANSWERS])
            views = Views(
                *ready.crop(rows, self.device),
                torch.from_numpy(spots).to(self.device),
                *ready.near(rows[spots], self.device),
            )
            yield views, torch.from_numpy(measured[rows[spots]]).to(self.device)

    def loss(self, batch: tuple[Views, Tensor]) -> Tensor:
        views, measured = batch
        wide = self.network.see_crop(views.crop, views.lattice)[views.spots]
        own = views.crop[views.spots]
        return fusion_loss(self.network(own, views.around, views.neighbours, wide), measured)

    def predict(self, slide: Slide) -> np.ndarray:
        ready = _Ready(slide)
        crop, lattice = ready.crop(np.arange(slide.n_spots), self.device)
        wide = self.network.see_crop(crop, lattice)
        predicted = [
            self.network(crop[spots], *ready.near(spots, self.device), wide[spots])[-1].cpu()
            for spots in in_turn(slide, MAX_ANSWERS)
        ]
        return torch.cat(predicted).numpy()
