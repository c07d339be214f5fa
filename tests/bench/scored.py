"""Results of a benchmark, written down rather than run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def scored(
    scores: Mapping[str, Sequence[float]],
    *,
    method: str = "ridge",
    encoder: str = "uni",
    protocol: str = "hest",
    units: str = "counts",
    seed: int = 0,
    **columns: Any,
) -> pd.DataFrame:
    """One row for each score; ``scores`` are those of the folds of each task."""
    what = {"protocol": protocol, "units": units, "method": method, "encoder": encoder}
    what |= {"seed": seed}
    rows = [
        {"task": task, "fold": str(fold), "pearson": value, **what}
        for task, values in scores.items()
        for fold, value in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(**columns)
