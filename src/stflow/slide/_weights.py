"""How much each spot's expression is to be trusted. Arrays only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stflow.slide._slide import Slide

LEAST, MOST = 0.1, 3.0


def spot_weights(slides: Sequence[Slide]) -> list[np.ndarray]:
    """Weigh spots by the root of their total counts, where expression is divided by these.

    The share of a gene in a spot's counts is known the better the more they are: its variance is
    about one over the total, on top of what is left to learn.

    Parameters
    ----------
    slides
        Slides that are learned from together.

    Returns
    -------
    Float32, shape (N,) each: 1 for the median spot of all slides, within 0.1 and 3; 1 everywhere
    for raw counts, and where totals are not known.
    """
    if any(slide.units == "counts" or slide.totals is None for slide in slides):
        return [np.ones(slide.n_spots, dtype=np.float32) for slide in slides]
    every = [np.asarray(slide.totals, dtype=np.float64) for slide in slides]
    middle = max(float(np.median(np.concatenate(every))), 1e-12)
    weights = [np.sqrt(totals / middle).clip(LEAST, MOST) for totals in every]
    return [each.astype(np.float32) for each in weights]
