"""Parts of slides: some spots, those along an axis, drawn ones, a drawn crop. Arrays only."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np
from scipy.spatial import KDTree

from stflow._units import are_enough
from stflow.slide._rows import PickedRows
from stflow.slide._slide import Slide

MAX_SPOTS = 20_000
MAX_CROP = 512


def subset(slide: Slide, spots: np.ndarray) -> Slide:
    """Keep some spots and the edges between them; embeddings and tiles stay where they are."""
    return replace(
        slide,
        coords=slide.coords[spots],
        graph=slide.graph[spots][:, spots],
        embedding=PickedRows(slide.embedding, spots),
        rows=slide.rows[spots],
        expression=None if slide.expression is None else slide.expression[spots],
        totals=None if slide.totals is None else slide.totals[spots],
        auxiliary=None if slide.auxiliary is None else slide.auxiliary[spots],
        tiles=None if slide.tiles is None else PickedRows(slide.tiles, spots),
    )


def measured_spots(slide: Slide, min_counts: float | None) -> Slide:
    """Keep the spots that measured enough, as `are_enough` says; all where totals are not known.

    Raises
    ------
    ValueError
        There are none.
    """
    if slide.totals is None:
        return slide
    enough = are_enough(slide.totals, min_counts)
    if not enough.any():
        raise ValueError(
            f"No spot of {slide.name} has {min_counts:g} counts; the most is "
            f"{slide.totals.max():g}. Lower `min_counts=`."
        )
    return slide if enough.all() else subset(slide, np.flatnonzero(enough))


def longer_axis(coords: np.ndarray) -> np.ndarray:
    """Place of spots (N, 2) along the longer axis of their slide, shape (N,)."""
    centred = coords - coords.mean(0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][0]


def along_longer_axis(coords: np.ndarray) -> np.ndarray:
    """Order spots (N, 2) along the longer axis of their slide, shape (N,)."""
    return np.argsort(longer_axis(coords), kind="stable")


class HasSpots(Protocol):
    """Whatever is made of spots."""

    @property
    def n_spots(self) -> int:
        """How many there are."""


T = TypeVar("T", bound=HasSpots)


def draw_spots(slides: list[T], seed: int) -> list[tuple[T, np.ndarray]]:
    """All spots of the slides, or ``MAX_SPOTS`` of them at random, in order."""
    ends = np.cumsum([slide.n_spots for slide in slides])
    spots = np.arange(ends[-1])
    if len(spots) > MAX_SPOTS:
        spots = np.sort(np.random.default_rng(seed).choice(spots, MAX_SPOTS, replace=False))
    each = np.split(spots, np.searchsorted(spots, ends[:-1]))
    first = [0, *ends[:-1]]
    return [(slide, own - start) for slide, own, start in zip(slides, each, first, strict=True)]


def draw_crop(tree: KDTree, rng: np.random.Generator, most: int | None = MAX_CROP) -> np.ndarray:
    """Draw a random spot and its m nearest, m/N ~ U(0, 1), N counting for so many; rows in order.

    None: crops go up to the whole slide, as in the preprint.
    """
    centre = tree.data[rng.integers(tree.n)]
    size = int(np.ceil(rng.uniform() * min(tree.n, most or tree.n))) or 1
    return np.sort(np.atleast_1d(tree.query(centre, size)[1]))
