"""Averages of a prediction's samples over groups of spots, and how far they may be off. Arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from stflow._sdata.expression import Spread
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
    Arrays (Q, F) by the name of their layer; those of amounts are of genes, not of differences.
    """
    mean, spread = found.mean.to_numpy(dtype=np.float64), found.spread
    over, slides = _matrix(groups, len(mean)), _matrix(_wholes(regions), len(mean))
    differences = bool(np.isclose(groups[0].shares.sum(), 0))
    logs, wholes, bulk = Running(), Running(), _Bulk(over, slides, regions, mean, spread)
    for sample in found.samples:
        logs.add(over @ sample @ weights)
        if sets:
            wholes.add(slides @ sample @ weights)
        elif not differences:
            bulk.add(sample)
    if differences:
        return _bounded(over @ mean @ weights, logs.sd, 0.0, np.inf, level, least=-np.inf)
    where = [group.region for group in groups]
    shift = (spread.shifts @ weights)[where]
    if sets:
        shift = np.where(shift > 0, (wholes.sd / normal_sd(spread.df))[where], 0)
    averages = _bounded(over @ mean @ weights, logs.sd, shift, spread.df, level)
    return averages if sets else averages | bulk.averages(where, weights, level)


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


class _Bulk:
    """Mean amounts of samples, of groups of spots and of whole slides.

    What a slide is off as a whole is taken out of each sample, as far as its own shift is known,
    and the tail of spots that were not measured is corrected by its bias.

    Parameters
    ----------
    over, slides
        What averages spots of groups, shape (Q, N), and of slides, shape (R, N).
    regions, mean, spread
        Rows of each slide, and the prediction, shape (N, G).
    """

    def __init__(
        self,
        over: sp.csr_matrix,
        slides: sp.csr_matrix,
        regions: Sequence[np.ndarray],
        mean: np.ndarray,
        spread: Spread,
    ) -> None:
        self._matrices, self._slides, self._regions = (over, slides), slides, regions
        self._expected, self._spread = slides @ mean, spread
        free = sp.diags((~spread.given).astype(float))
        self._of_free = tuple(each @ free for each in self._matrices)
        self._groups, self._wholes = Running(), Running()

    def add(self, sample: np.ndarray) -> None:
        """Take one more sample (N, G) into account."""
        known = self._spread.bulk_shifts > 0
        away = np.where(known, self._slides @ sample - self._expected, 0)
        amounts = np.empty_like(sample)
        for rows, each in zip(self._regions, away, strict=True):
            amounts[rows] = np.expm1((sample[rows] - each).clip(0))
        more = np.expm1(self._spread.bulk_bias)
        runs = zip((self._groups, self._wholes), self._matrices, self._of_free, strict=True)
        for running, matrix, of_free in runs:
            free = of_free @ amounts + np.asarray(of_free.sum(1))
            running.add(matrix @ amounts + more * free)

    def averages(
        self, where: Sequence[int], weights: np.ndarray, level: float
    ) -> dict[str, np.ndarray]:
        """Return the averages of groups in these slides, of F genes by their ``weights`` (G, F)."""
        shift, df = self._spread.bulk_shifts[where], self._spread.df
        shared = np.where(shift > 0, _log_variance(self._wholes)[where], 0)
        own = np.clip(_log_variance(self._groups) - shared, 0, None)
        sd = np.sqrt(own + np.square(normal_sd(df) * shift))
        logs = _bounded(np.log1p(self._groups.mean.clip(0)), sd, shift, df, level)
        amounts = {name: np.expm1(logs[name]) for name in ("mean", "lower", "upper")}
        found = {
            "bulk": amounts["mean"],
            "bulk_sd": (1 + amounts["mean"]) * sd,
            "bulk_lower": amounts["lower"],
            "bulk_upper": amounts["upper"],
        }
        return {name: values @ weights for name, values in found.items()}


def _log_variance(amounts: Running) -> np.ndarray:
    """Variance of log1p of amounts, by its slope at their mean."""
    return np.square(amounts.sd / (1 + amounts.mean.clip(0)))


def _wholes(regions: Sequence[np.ndarray]) -> list[Group]:
    return [Group.of("", "", number, rows) for number, rows in enumerate(regions)]


def _matrix(groups: Sequence[Group], n_spots: int) -> sp.csr_matrix:
    """Return what averages spots, shape (Q, N)."""
    ends = np.cumsum([0, *(len(group.rows) for group in groups)])
    rows, shares = (
        np.concatenate([getattr(group, part) for group in groups]) for part in ("rows", "shares")
    )
    return sp.csr_matrix((shares, rows, ends), shape=(len(groups), n_spots))
