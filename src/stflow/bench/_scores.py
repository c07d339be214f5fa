"""Scores of one prediction of the test spots of a fold. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np

from stflow._units import Units, raw_counts
from stflow.metrics import (
    as_predictor,
    ceiling,
    gene_structure_correlation,
    mean_defined,
    partial,
    pearson,
    spot_structure_correlation,
)

N_BEST = 50
MEASURES = (
    "pearson",
    "pearson_best",
    "pearson_depth",
    "partial",
    "ceiling",
    "gene_structure",
    "spot_structure",
)


def score(
    measured: np.ndarray,
    predicted: np.ndarray,
    *,
    totals: np.ndarray,
    units: Units,
    seed: int,
    smoothed: bool = False,
) -> dict[str, Any]:
    """Score pooled spots: means over genes, and how well correlations are kept.

    A gene predicted to be constant counts as 0; one measured to be constant is left out.

    Parameters
    ----------
    measured, predicted
        Expression in the units, shape (N, G).
    totals
        Counts of each spot over all genes, shape (N,).
    units
        What expression is told in.
    seed
        Seed of the splits of counts, and of the spots that are drawn.
    smoothed
        Whether expression is averaged over spots, so that no counts are behind it.

    Returns
    -------
    ``pearson``, ``pearson_depth``, ``partial`` and ``ceiling``, means over genes, the last NaN
    for smoothed expression; ``pearson_best``, that of the 50 genes that score best, NaN where
    there are no more; ``n_genes`` and ``n_undefined`` of them; ``gene_structure`` and
    ``spot_structure``.
    """
    varies = np.ptp(measured, 0) > 0
    sizes = {"n_genes": measured.shape[1], "n_undefined": int((~varies).sum())}
    if not varies.any():
        return {**dict.fromkeys(MEASURES, np.nan), **sizes}
    known, given = measured[:, varies], predicted[:, varies]
    scores = np.nan_to_num(pearson(known, given))
    counts = None if smoothed else raw_counts(known, totals, units)
    return {
        "pearson": float(scores.mean()),
        "pearson_best": float(np.sort(scores)[-N_BEST:].mean()) if len(scores) > N_BEST else np.nan,
        **sizes,
        **_beside_depth(known, given, counts, totals=totals, units=units, seed=seed),
        "gene_structure": gene_structure_correlation(known, given),
        "spot_structure": spot_structure_correlation(known, given, seed=seed),
    }


def _beside_depth(
    measured: np.ndarray,
    predicted: np.ndarray,
    counts: np.ndarray | None,
    *,
    totals: np.ndarray,
    units: Units,
    seed: int,
) -> dict[str, float]:
    """Say how much of a score the depth of the spots is, and what noise lets anyone reach."""
    totals, limit = np.rint(totals), np.full(measured.shape[1], np.nan)
    if counts is not None:
        totals = np.maximum(totals, counts.sum(1))
        limit = ceiling(counts, totals, units=units, seed=seed)
    depth = np.log1p(totals)
    by_depth = pearson(measured, as_predictor(depth, measured))
    given = np.nan_to_num(partial(measured, predicted, depth))
    return {
        "pearson_depth": float(mean_defined(by_depth)),
        "partial": float(given.mean()),
        "ceiling": float(mean_defined(limit)),
    }
