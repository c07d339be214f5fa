"""What a benchmark consists of: tasks of slides and splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

from anndata import AnnData

from stflow._splits import Split
from stflow._validation import require_key, require_unique
from stflow.bench._target import Target


class Source(Protocol):
    """One slide of a task, read when it is asked for: any object with these two methods.

    :class:`Task` takes them by name, so that a data set of your own needs one class.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> from anndata import AnnData
    >>> class Mine:
    ...     def table(self):
    ...         return AnnData(np.ones((2, 50)), obsm={"spatial": np.eye(2)})
    ...
    ...     def tiles(self):
    ...         return np.zeros((2, 224, 224, 3), dtype=np.uint8)
    >>> split = stf.bench.Split("first", train=("a",), test=("b",))
    >>> task = stf.bench.Task("mine", {"a": Mine(), "b": Mine()}, (split,))
    """

    def table(self) -> AnnData:
        """Return raw counts of all genes in ``X``, spot centres in ``obsm["spatial"]``.

        Returns
        -------
        Table of N spots; centres in pixels or micrometres, shape (N, 2), x then y.
        """

    def tiles(self) -> Any:
        """Return the tile around each spot.

        Returns
        -------
        RGB, uint8, shape (N, H, W, 3), in the order of the table: an array, or what gives rows of
        one when it is indexed. One whose ``in_order`` is true is slow to read in another order.
        """


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
    target
        Rules for genes, units and labels of the task's own. None: those of the run.
    groups
        The group, as a rule the patient, of each slide for which it is known; methods that know
        of patients are told.
    images
        Name under which embeddings are kept, for tasks that have slides in common. Empty: that of
        the task.

    Raises
    ------
    KeyError
        A fold or a group names a slide that the task does not have.
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
    target: Target | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    images: str = ""

    def __post_init__(self) -> None:
        if not self.splits:
            raise ValueError(f"Task {self.name!r} has no folds.")
        require_unique([split.name for split in self.splits], what=f"folds of {self.name!r}")
        named = (slide for split in self.splits for slide in (*split.train, *split.test))
        for slide in (*named, *self.groups):
            require_key(slide, self.sources, what=f"slide of task {self.name!r}")

    def describe(self) -> dict[str, Any]:
        """Say what the task consists of, in plain values."""
        own = {} if self.target is None else {"target": self.target.describe()}
        return {
            "slides": sorted(self.sources),
            "splits": {split.name: [split.train, split.test] for split in self.splits},
            "genes": self.genes,
            "constructed": self.constructed,
            "tiles": self.tiles,
            **own,
        }
