"""Several folders of one benchmark, filled side by side, read as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stflow._validation import listing
from stflow.bench._results import Key, Results, merge_runs, unlike


class Folders:
    """What several runs have done, each in a folder of its own.

    Parameters
    ----------
    paths
        The folders.

    Raises
    ------
    FileNotFoundError
        One of them holds no benchmark.
    ValueError
        There are none, they are of different benchmarks, or were scored on different data, or a
        file is damaged.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        if not paths:
            raise ValueError("Name at least one folder that a benchmark was written to.")
        self.parts = [Results.read(path) for path in paths]
        self.run: dict[str, Any] = reduce(self._joined, self.parts, {})
        for one, other in combinations(self.parts, 2):
            _require_one_truth(one, other)

    @property
    def path(self) -> Path:
        """The first folder."""
        return self.parts[0].path

    def frame(self) -> pd.DataFrame:
        """Return the rows of all folders; a failed one only where no folder has the result."""
        frame = pd.concat([part.frame() for part in self.parts], ignore_index=True)
        if frame.empty:
            return frame
        finished_first = frame.sort_values("error", kind="stable")
        again = finished_first.duplicated([field.name for field in fields(Key)]).sort_index()
        return frame[~(again & (frame["error"] != ""))].reset_index(drop=True)

    def read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Return named arrays from the first folder that has them, or None."""
        found = (part.read_arrays(name) for part in self.parts)
        return next((arrays for arrays in found if arrays is not None), None)

    def _joined(self, run: dict[str, Any], part: Results) -> dict[str, Any]:
        joined, odd = merge_runs(run, part.run())
        if odd:
            raise ValueError(
                f"{part.path} and {self.path} are of different benchmarks: {listing(odd)} differ."
            )
        return joined


def _require_one_truth(one: Results, other: Results) -> None:
    for name in one.given() & other.given():
        odd = unlike(one.read_arrays(name) or {}, other.read_arrays(name) or {})
        if odd:
            raise ValueError(
                f"{one.path} and {other.path} hold results on different data: {listing(odd)} of "
                f"{name} differ."
            )
