"""Paired differences of mean Pearson correlation between methods, with bootstrap intervals. Arrays.

Genes are drawn once for all folds. Spots are drawn in square blocks of about the square root of
a slide's spots, since neighbours resemble each other; all methods get the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stflow.metrics import pearson

N_DRAWS, LEVEL = 1000, 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """The held-out spots of a fold that measured enough.

    Parameters
    ----------
    name, genes
        Name of the fold, and of the G genes.
    measured
        Expression, shape (N, G).
    totals
        Counts of each spot over all genes, shape (N,).
    blocks
        Number of the block that each spot is in, shape (N,).
    predicted
        The same of each method, by its name.
    """

    name: str
    genes: tuple[str, ...]
    measured: np.ndarray
    totals: np.ndarray
    blocks: np.ndarray
    predicted: dict[str, np.ndarray]


def spatial_blocks(coords: np.ndarray) -> np.ndarray:
    """Sort spots at (N, 2) into about sqrt(N) square blocks: the number of each one's, (N,)."""
    extent = np.ptp(coords, axis=0)
    n_blocks = np.sqrt(len(coords))
    side = max(float(np.sqrt(extent.prod() / n_blocks)), float(extent.max()) / n_blocks, 1e-12)
    cells = np.floor((coords - coords.min(0)) / side).astype(np.int64)
    return np.unique(cells, axis=0, return_inverse=True)[1].ravel()


def compare_folds(folds: list[Held], *, seed: int) -> list[dict[str, Any]]:
    """Compare each method with the first.

    Returns
    -------
    For each method: ``method``, ``reference``, ``difference`` (of the mean Pearson correlation
    over the genes where both are defined, meaned over folds), ``by_fold`` (the same of each), and
    the ends of its 95 % intervals: ``genes_low``, ``genes_high``, ``spots_low``, ``spots_high``.
    """
    reference, *others = folds[0].predicted
    return [_compare(folds, method, reference, seed) for method in others]


def _compare(folds: list[Held], method: str, reference: str, seed: int) -> dict[str, Any]:
    differences = [
        pearson(fold.measured, fold.predicted[method])
        - pearson(fold.measured, fold.predicted[reference])
        for fold in folds
    ]
    by_fold = [float(_mean(each)) for each in differences]
    found = {
        "method": method,
        "reference": reference,
        "difference": float(_mean(by_fold)),
        **over_genes([fold.genes for fold in folds], differences, seed),
        **_interval("spots", _over_spots(folds, method, reference, seed)),
    }
    return {**found, "by_fold": dict(zip((fold.name for fold in folds), by_fold, strict=True))}


def over_genes(
    genes: Sequence[Sequence[str]], differences: Sequence[np.ndarray], seed: int
) -> dict[str, float]:
    """Interval of the mean difference when genes are drawn: ``genes_low``, ``genes_high``.

    Parameters
    ----------
    genes, differences
        Of each fold, the names of its genes and their differences, shape (G,).
    seed
        Seed of the draws.
    """
    names = sorted({gene for panel in genes for gene in panel})
    place = {gene: i for i, gene in enumerate(names)}
    times = _draw(len(names), np.random.default_rng([seed, 0]))
    means = []
    for panel, values in zip(genes, differences, strict=True):
        drawn = times[:, [place[gene] for gene in panel]] * np.isfinite(values)
        means.append(_ratio(drawn @ np.nan_to_num(values), drawn.sum(1)))
    return _interval("genes", _mean(np.array(means)))


def _interval(kind: str, draws: np.ndarray) -> dict[str, float]:
    defined = draws[np.isfinite(draws)]
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(defined, ends) if len(defined) else (np.nan, np.nan)
    return {f"{kind}_low": float(low), f"{kind}_high": float(high)}


def _over_spots(folds: list[Held], method: str, reference: str, seed: int) -> np.ndarray:
    """Mean differences for draws of blocks of spots, shape (N_DRAWS,)."""
    means = []
    for i, fold in enumerate(folds):
        times = _draw(int(fold.blocks.max()) + 1, np.random.default_rng([seed, 1, i]))
        scores = [
            _drawn_pearson(fold.measured, fold.predicted[name], fold.blocks, times)
            for name in (method, reference)
        ]
        means.append(_mean((scores[0] - scores[1]).T))
    return _mean(np.array(means))


def _drawn_pearson(
    measured: np.ndarray, predicted: np.ndarray, blocks: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Pearson correlations when each block counts as often as ``times`` says, (N_DRAWS, G)."""
    x, y = (_standardise(values) for values in (measured, predicted))
    n = times @ np.bincount(blocks, minlength=times.shape[1])
    sums = [times @ _block_sums(each, blocks) for each in (x, y, x * y, x * x, y * y)]
    mx, my, xy, xx, yy = (each / n[:, None] for each in sums)
    vx, vy = xx - mx**2, yy - my**2
    defined = (vx > 1e-9) & (vy > 1e-9)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined, (xy - mx * my) / np.sqrt(vx * vy), np.nan)


def _standardise(values: np.ndarray) -> np.ndarray:
    centred = np.asarray(values, dtype=np.float64) - values.mean(0, dtype=np.float64)
    spread = centred.std(0)
    return centred / np.where(spread > 0, spread, 1.0)


def _block_sums(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    sums = np.zeros((int(blocks.max()) + 1, values.shape[1]))
    np.add.at(sums, blocks, values)
    return sums


def _draw(n: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of n is drawn when n are drawn with replacement, shape (N_DRAWS, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=N_DRAWS).astype(np.float64)


def _mean(values: Any) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    values = np.asarray(values, dtype=np.float64)
    return _ratio(np.nansum(values, axis=0), np.isfinite(values).sum(axis=0))


def _ratio(total: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.divide(total, n, out=np.full(np.shape(total), np.nan), where=np.asarray(n) > 0)
