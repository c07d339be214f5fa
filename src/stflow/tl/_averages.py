"""Averages of a prediction's samples over groups of spots, and how far they may be off. Arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from stflow.metrics import normal_sd, shifted_interval
from stflow.tl._samples import Running, Sampled


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Spots of a slide that are averaged, or two groups of spots one less the other.

    Parameters
    ----------
    slide, name
        Where, and what they are called.
    region
        Number of the slide among those of its table.
    rows
        Their rows in the table, shape (M,).
    shares
        What each counts, shape (M,): together 1, or 0 of a difference.
    """

    slide: str
    name: str
    region: int
    rows: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, slide: str, name: str, region: int, rows: np.ndarray) -> Group:
        """Take all of some rows alike."""
        return cls(slide, name, region, rows, np.full(len(rows), 1 / len(rows)))

    def less(self, other: Group) -> Group:
        """Return the difference from another group of the slide."""
        rows = np.concatenate([self.rows, other.rows])
        shares = np.concatenate([self.shares, -other.shares])
        return Group(self.slide, f"{self.name} - {other.name}", self.region, rows, shares)


def average(
    found: Sampled,
    groups: Sequence[Group],
    regions: Sequence[np.ndarray],
    weights: np.ndarray,
    *,
    sets: bool,
    level: float,
) -> dict[str, np.ndarray]:
    """Average a prediction over groups of spots.

    Parameters
    ----------
    found
        Its mean and samples, of N spots and G genes.
    groups
        Q groups, all of spots alike or all of differences.
    regions
        Rows of each slide of the table.
    weights
        What makes F features of genes, shape (G, F).
    sets
        Whether features are sets of genes, whose shift is not known but from samples.
    level
        Share that bounds hold.

    Returns
    -------
    Arrays (Q, F) by the name of their layer; those of amounts are not of differences.
    """
    over, slides = _matrix(groups, len(found.mean)), _matrix(_wholes(regions), len(found.mean))
    differences = bool(np.isclose(groups[0].shares.sum(), 0))
    logs, wholes, bulks, log_bulks = (Running() for _ in range(4))
    for sample in found.samples:
        logs.add(over @ sample @ weights)
        if sets:
            wholes.add(slides @ sample @ weights)
        if not differences:
            amounts = over @ np.expm1(np.clip(sample, 0, None)) @ weights
            bulks.add(amounts)
            log_bulks.add(np.log1p(amounts))
    mean = over @ found.mean.to_numpy(dtype=np.float64) @ weights
    if differences:
        return _bounded(mean, logs.sd, 0.0, np.inf, level, least=-np.inf)
    shifts, df = found.spread.shifts @ weights, found.spread.df
    if sets:
        shifts = np.where(shifts > 0, wholes.sd / normal_sd(df), 0)
    shift = shifts[[group.region for group in groups]]
    bulk = _bounded(log_bulks.mean, log_bulks.sd, shift, df, level)
    return _bounded(mean, logs.sd, shift, df, level) | {
        "bulk": bulks.mean,
        "bulk_sd": bulks.sd,
        "bulk_lower": np.expm1(bulk["lower"]),
        "bulk_upper": np.expm1(bulk["upper"]),
    }


def _bounded(
    mean: np.ndarray,
    sd: np.ndarray,
    shift: np.ndarray | float,
    df: float,
    level: float,
    least: float = 0.0,
) -> dict[str, np.ndarray]:
    lower, upper = shifted_interval(mean, sd, shift=shift, df=df, level=level)
    bounds = {"lower": lower.clip(least), "upper": upper.clip(least)}
    return {"mean": mean, "sd": sd, **bounds}


def _wholes(regions: Sequence[np.ndarray]) -> list[Group]:
    return [Group.of("", "", number, rows) for number, rows in enumerate(regions)]


def _matrix(groups: Sequence[Group], n_spots: int) -> sp.csr_matrix:
    """Return what averages spots, shape (Q, N)."""
    ends = np.cumsum([0, *(len(group.rows) for group in groups)])
    rows, shares = (
        np.concatenate([getattr(group, part) for group in groups]) for part in ("rows", "shares")
    )
    return sp.csr_matrix((shares, rows, ends), shape=(len(groups), n_spots))
