"""What a slide like those of the fit looks like, learned from slides that are left out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from stflow.model._novelty import Novelty
from stflow.model.training._folds import Masks
from stflow.slide import PickedRows, Slide, left_out_together


def learn_novelty(slides: list[Slide], folds: list[Masks], seed: int) -> Novelty:
    """Learn relations between channels of all slides, and how far left-out slides are from them.

    Parameters
    ----------
    slides
        Training slides.
    folds
        Which spots of each slide, (N,) each, are left out at a time, and measured by the
        relations of the others.
    seed
        Seed of the spots that relations are learned from, and of their decomposition.
    """
    found: list[tuple[Tensor, Tensor]] = []
    groups, left_out = left_out_together([slide.patient for slide in slides]), set()
    for masks in folds:
        novelty = Novelty.fit(_embeddings(slides, [~mask for mask in masks]), seed)
        for slide, group, mask in zip(slides, groups, masks, strict=True):
            if mask.any():
                spots = np.flatnonzero(mask)
                embedding = PickedRows(slide.embedding, spots)
                found.append(novelty.squares(embedding, slide.graph[spots][:, spots]))
                left_out.add(group)
    novelty = Novelty.fit([slide.embedding for slide in slides], seed)
    novelty.calibrate(found, max(len(left_out), len(folds)))
    return novelty


def _embeddings(slides: list[Slide], masks: Masks) -> list[Any]:
    """Rows of the spots that are marked, not read yet, and of no slide without any."""
    pairs = zip(slides, masks, strict=True)
    return [
        PickedRows(slide.embedding, np.flatnonzero(mask)) for slide, mask in pairs if mask.any()
    ]
