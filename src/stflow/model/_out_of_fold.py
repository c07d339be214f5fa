"""Regressions of training spots that they have not seen. Tensors and slides."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stflow.model._kernel_ridge import KernelRidge
from stflow.model._regions import TensorSlide
from stflow.model._validation_split import along_longer_axis

MAX_FOLDS, N_BLOCKS = 5, 4


def fit_regression(slides: list[TensorSlide], seed: int) -> KernelRidge:
    """Fit the regression to all spots of some slides."""
    features = torch.cat([slide.features for slide in slides])
    return KernelRidge.fit(features, torch.cat([slide.expression for slide in slides]), seed)


def folds(kept: list[TensorSlide], held_out: TensorSlide) -> list[list[TensorSlide]]:
    """Sort slides into folds that share no slide: the held-out one, and some of the others each.

    A single slide to train on is cut into blocks.
    """
    parts = _blocks(kept[0]) if len(kept) == 1 else kept
    groups = [parts[first :: MAX_FOLDS - 1] for first in range(min(len(parts), MAX_FOLDS - 1))]
    return [*groups, [held_out]]


def out_of_fold(
    kept: list[TensorSlide], held_out: TensorSlide, seed: int
) -> list[tuple[TensorSlide, Tensor]]:
    """Predict the spots of each fold (N, G) from the others, the held-out spots last."""
    groups, found = folds(kept, held_out), []
    for i, group in enumerate(groups):
        others = [slide for j, other in enumerate(groups) if j != i for slide in other]
        regression = fit_regression(others, seed)
        found += [(slide, regression(slide.features)) for slide in group]
    return found


def _blocks(slide: TensorSlide) -> list[TensorSlide]:
    """Cut a slide across its longer axis."""
    pieces = np.array_split(along_longer_axis(slide.coords), min(N_BLOCKS, slide.n_spots))
    return [slide.subset(np.sort(piece)) for piece in pieces]
