"""The regression, fitted to slides: by itself, and through what all genes have in common."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stflow.model._regression import RANK, KernelRidge
from stflow.model.training._crops import TensorSlide
from stflow.slide import along_longer_axis

MAX_TURNS = 4


def fit_regression(slides: list[TensorSlide], seed: int) -> KernelRidge:
    """Fit the regression to all spots of some slides.

    Where there are more than ``RANK`` genes, auxiliary ones included, it is averaged with a
    reduced-rank regression on predictions of slides left out by turns.
    """
    whole = _fit(slides, seed)
    expression = torch.cat([slide.expression for slide in slides])
    if whole.weights.shape[1] <= RANK:
        return whole
    unseen = torch.cat(_left_out_by_turns(slides, seed))
    weights = torch.cat([slide.weights for slide in slides])
    return whole.by_common_directions(unseen, expression, weights)


def _fit(slides: list[TensorSlide], seed: int) -> KernelRidge:
    features, weights = (torch.cat([getattr(s, n) for s in slides]) for n in ("features", "weights"))
    every = [torch.cat([slide.expression, slide.auxiliary], dim=1) for slide in slides]
    return KernelRidge.fit(features, torch.cat(every), seed, weights=weights)


def _left_out_by_turns(slides: list[TensorSlide], seed: int) -> list[Tensor]:
    """Predict each slide, or block of the only one, by a regression that has not seen it."""
    if len(slides) == 1:
        order = along_longer_axis(slides[0].coords)
        rows = [np.sort(part) for part in np.array_split(order, MAX_TURNS)]
        found = _left_out_by_turns([slides[0].subset(part) for part in rows], seed)
        back = torch.from_numpy(np.argsort(np.concatenate(rows)))
        return [torch.cat(found)[back]]
    unseen: list[Tensor] = [torch.empty(0)] * len(slides)
    for turn in range(min(MAX_TURNS, len(slides))):
        rest = [slide for i, slide in enumerate(slides) if i % MAX_TURNS != turn]
        regression = _fit(rest, seed)
        for i in range(turn, len(slides), MAX_TURNS):
            unseen[i] = regression(slides[i].features)
    return unseen
