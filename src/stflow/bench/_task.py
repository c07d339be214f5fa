"""What a benchmark consists of: suites of tasks, tasks of slides and splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import numpy as np
from anndata import AnnData

from stflow._validation import listing, require_key, require_unique


class Source(Protocol):
    """One slide of a task, read when it is asked for."""

    def table(self) -> AnnData:
        """Return raw counts of all genes in ``X``, spot centres in ``obsm["spatial"]``."""

    def tiles(self) -> Any:
        """Return RGB tiles, uint8, shape (N, H, W, 3), or an array that gives rows of them.

        An array whose ``in_order`` is true is slow to read in another order.
        """


@dataclass(frozen=True, slots=True)
class Split:
    """One fold.

    Parameters
    ----------
    name
        What tables call it.
    train, test
        Names of the slides on either side.

    Raises
    ------
    ValueError
        A side has no slide, or a slide is on both.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for side, names in (("train on", self.train), ("test on", self.test)):
            if not names:
                raise ValueError(f"Fold {self.name!r} has no slide to {side}.")
        both = sorted({*self.train} & {*self.test})
        if both:
            raise ValueError(
                f"Fold {self.name!r} has {listing(both)} on both sides; a slide that a method "
                "was trained on is no test."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Slides of one tissue, and how they are split.

    Parameters
    ----------
    name
        What tables call it, such as ``"IDC"``.
    sources
        Slides by name.
    splits
        The folds.
    genes
        The panel that comes with the task, or None.
    constructed
        Whether the splits are ours, because none were published.
    tiles
        How large tiles are, where that is not fixed by the format of the files.

    Raises
    ------
    KeyError
        A fold names a slide that the task does not have.
    ValueError
        There is no fold, or two have one name.
    """

    name: str
    sources: Mapping[str, Source]
    splits: tuple[Split, ...]
    _: KW_ONLY
    genes: tuple[str, ...] | None = None
    constructed: bool = False
    tiles: str = ""

    def __post_init__(self) -> None:
        if not self.splits:
            raise ValueError(f"Task {self.name!r} has no folds.")
        require_unique([split.name for split in self.splits], what=f"folds of {self.name!r}")
        for split in self.splits:
            for slide in (*split.train, *split.test):
                require_key(slide, self.sources, what=f"slide of task {self.name!r}")

    def describe(self) -> dict[str, Any]:
        """Say what the task consists of, in plain values."""
        return {
            "slides": sorted(self.sources),
            "splits": {split.name: [split.train, split.test] for split in self.splits},
            "genes": self.genes,
            "constructed": self.constructed,
            "tiles": self.tiles,
        }


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """A slide that is at hand.

    Parameters
    ----------
    counts
        What `table` returns.
    pixels
        What `tiles` returns.
    """

    counts: AnnData
    pixels: np.ndarray

    def table(self) -> AnnData:
        """Return the counts."""
        return self.counts

    def tiles(self) -> np.ndarray:
        """Return the tiles."""
        return self.pixels
