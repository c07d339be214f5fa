"""Which spots a network sees at once: crops in training, parts of a slide. Arrays only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import KDTree

from stflow.slide import MAX_CROP, Slide, draw_crop

PER_EPOCH = 32


def in_turn(slide: Slide, size: int) -> list[np.ndarray]:
    """Cut the rows of a slide, in order, into parts of at most ``size``."""
    return np.split(np.arange(slide.n_spots), np.arange(size, slide.n_spots, size))


class CropDraws:
    """Contiguous crops of slides, as the preprint trains on (appendix A).

    Parameters
    ----------
    slides
        Training slides; they take turns.
    most
        Spots of a slide that count for the size of its crops. None: all, as in the preprint.
    """

    def __init__(self, slides: list[Slide], *, most: int | None = MAX_CROP) -> None:
        self.most = most
        self.trees = [KDTree(slide.coords) for slide in slides]

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
        """Draw 32 crops, or one a slide if that is more: number of a slide, rows of spots."""
        for draw in range(max(PER_EPOCH, len(self.trees))):
            which = draw % len(self.trees)
            yield which, draw_crop(self.trees[which], rng, self.most)
