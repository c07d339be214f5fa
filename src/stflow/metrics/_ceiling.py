"""How well a gene could be predicted at most, its counts being as noisy as they are."""

from __future__ import annotations

import numpy as np

from stflow._units import UNITS, Units, log_expression
from stflow._validation import require_choice, require_count, require_counts, require_seed
from stflow.metrics._arrays import mean_defined
from stflow.metrics._genes import pearson


def ceiling(
    counts: np.ndarray, totals: np.ndarray, *, units: Units, seed: int, n_splits: int = 5
) -> np.ndarray:
    r"""Largest Pearson correlation that a prediction of each gene can reach, given counting noise.

    Parameters
    ----------
    counts
        Raw counts of the genes that are scored, shape (N, G).
    totals
        Total counts of each spot over all genes of its table, shape (N,).
    units
        What is scored: ``"cp10k"``, log1p of counts per 10,000 of the total, or ``"counts"``,
        log1p of counts.
    seed
        Seed of the splits.
    n_splits
        Number of random splits to average over.

    Returns
    -------
    Ceilings between 0 and 1, shape (G,). NaN where no split leaves a gene that varies in both
    halves.

    Raises
    ------
    ValueError
        The counts are no counts of shape (N, G), the totals not one number a spot or less than
        what the spot's counts add up to, or the other arguments are out of range.

    Notes
    -----
    Each count is split into two halves by fair coins, and so is what the total holds beside the
    genes given: both halves have counts and totals of their own, and if counts are Poisson, the
    noise of one is independent of that of the other. Log1p counts of a half are those of twice
    its counts, so that the logarithm bends as it does for the whole. With :math:`r` the
    correlation of the halves, averaged over the splits, the whole is as reliable as
    :math:`2 r / (1 + r)` [1]_ [2]_: such would be its correlation with a second measurement of
    the same tissue. A prediction has no such noise of its own, so the most that it can reach is
    the square root, :math:`\sqrt{2 r / (1 + r)}`; where :math:`r < 0`, it is 0.

    On counts with a known law the mean over the genes is right within .01; where most counts are
    zeros, CP10K's is up to .06 too high, as logarithms of halves so shallow are hardly less noisy
    than those of the whole.

    References
    ----------
    .. [1] Spearman, "Correlation calculated from faulty data", British Journal of Psychology 3
       (1910), doi:10.1111/j.2044-8295.1910.tb00206.x.
    .. [2] Brown, "Some experimental results in the correlation of mental abilities", British
       Journal of Psychology 3 (1910), doi:10.1111/j.2044-8295.1910.tb00207.x.
    """
    counts, beside = _as_counts(counts, totals)
    require_choice(units, UNITS, name="units")
    require_seed(seed)
    require_count(n_splits, name="n_splits")
    rng = np.random.default_rng(seed)
    halves = np.stack([_half_correlation(counts, beside, units, rng) for _ in range(n_splits)])
    r = np.maximum(mean_defined(halves), 0.0)
    return np.sqrt(2 * r / (1 + r))


def _as_counts(counts: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts, and what each spot's total holds beside them, as whole numbers."""
    counts, totals = np.asarray(counts), np.asarray(totals)
    if counts.ndim != 2 or len(counts) == 0 or totals.shape != counts.shape[:1]:
        raise ValueError(
            "Counts must have the shape (spots, genes) and totals (spots,), not "
            f"{counts.shape} and {totals.shape}."
        )
    require_counts(counts, what="`counts`")
    require_counts(totals, what="`totals`")
    counts, totals = counts.astype(np.int64), totals.astype(np.int64)
    beside = totals - counts.sum(axis=1)
    if (beside < 0).any():
        raise ValueError(
            f"In {int((beside < 0).sum())} of {len(totals)} spots the total is less than the "
            "counts add up to; `totals` are over all genes of the table."
        )
    return counts, beside


def _half_correlation(
    counts: np.ndarray, beside: np.ndarray, units: Units, rng: np.random.Generator
) -> np.ndarray:
    """Correlate two random halves of the counts, each in the units, over the spots."""
    half, half_beside = rng.binomial(counts, 0.5), rng.binomial(beside, 0.5)
    parts = [(half, half_beside), (counts - half, beside - half_beside)]
    one, other = (
        log_expression(2 * some, 2 * (some.sum(axis=1) + rest), units) for some, rest in parts
    )
    return pearson(one, other)
