"""The units of expression: log1p of counts, or of counts per 10,000 of a spot's total. Arrays."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

Units: TypeAlias = Literal["cp10k", "counts"]
UNITS: tuple[Units, ...] = get_args(Units)
LABELS: dict[str, str] = {"cp10k": "log1p counts per 10,000", "counts": "log1p counts"}
PER, MIN_COUNTS, MIN_SHARE = 10_000, 100.0, 0.1


def log_expression(counts: np.ndarray, totals: np.ndarray | None, units: Units) -> np.ndarray:
    """Bring counts to units.

    Parameters
    ----------
    counts
        Raw counts, shape (N, G).
    totals
        Counts of each spot over all genes, shape (N,); a spot without any expresses nothing. Not
        read for ``"counts"``.
    units
        Which.

    Returns
    -------
    Float64, shape (N, G).
    """
    values = np.asarray(counts, dtype=np.float64)
    if units == "counts":
        return np.log1p(values)
    scale = PER / np.maximum(np.asarray(totals, dtype=np.float64), 1e-12)
    return np.log1p(values * scale[:, None])


def raw_counts(expression: np.ndarray, totals: np.ndarray, units: Units) -> np.ndarray:
    """Undo `log_expression`: the whole numbers that were counted, shape (N, G)."""
    values = np.expm1(np.asarray(expression, dtype=np.float64))
    return np.rint(values if units == "counts" else values * totals[:, None] / PER)


def are_enough(totals: np.ndarray, min_counts: float | None) -> np.ndarray:
    """Tell spots of a slide that measured something, shape (N,), from their totals.

    Parameters
    ----------
    totals
        Counts of each spot over all genes, shape (N,).
    min_counts
        The fewest. None: 100, or a tenth of the median over the spots if that is less.
    """
    if min_counts is None:
        min_counts = min(MIN_COUNTS, MIN_SHARE * float(np.median(totals)))
    return np.asarray(totals) >= min_counts
