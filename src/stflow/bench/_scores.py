"""Scores of one prediction of the test spots of a fold. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np

from stflow._units import Units, raw_counts
from stflow.metrics import (
    gene_structure_correlation,
    pearson,
    per_gene_depth,
    spot_structure_correlation,
)

MEASURES = ("pearson", "pearson_depth", "partial", "ceiling", "gene_structure", "spot_structure")


def score(
    measured: np.ndarray,
    predicted: np.ndarray,
    *,
    totals: np.ndarray,
    units: Units,
    seed: int,
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

    Returns
    -------
    ``pearson``, ``pearson_depth``, ``partial`` and ``ceiling``, means over genes; ``n_genes`` and
    ``n_undefined`` of them; ``gene_structure`` and ``spot_structure``.
    """
    varies = np.ptp(measured, 0) > 0
    sizes = {"n_genes": measured.shape[1], "n_undefined": int((~varies).sum())}
    if not varies.any():
        return {**dict.fromkeys(MEASURES, np.nan), **sizes}
    known, given = measured[:, varies], predicted[:, varies]
    return {
        "pearson": _mean(pearson(known, given), undefined=0.0),
        **sizes,
        **_beside_depth(known, given, totals, units, seed),
        "gene_structure": gene_structure_correlation(known, given),
        "spot_structure": spot_structure_correlation(known, given, seed=seed),
    }


def _beside_depth(
    measured: np.ndarray, predicted: np.ndarray, totals: np.ndarray, units: Units, seed: int
) -> dict[str, float]:
    """Say how much of a score the depth of the spots is, and what noise lets anyone reach."""
    counts = raw_counts(measured, totals, units)
    how: dict[str, Any] = {"units": units, "seed": seed, "counts": counts}
    how["totals"] = np.maximum(np.rint(totals), counts.sum(1))
    genes = [str(column) for column in range(measured.shape[1])]
    table = per_gene_depth(measured, predicted, genes=genes, **how)
    return {
        "pearson_depth": _mean(table["pearson_depth"].to_numpy(), undefined=np.nan),
        "partial": _mean(table["partial"].to_numpy(), undefined=0.0),
        "ceiling": _mean(table["ceiling"].to_numpy(), undefined=np.nan),
    }


def _mean(scores: np.ndarray, *, undefined: float) -> float:
    """Average over genes, those without a score counted as said; NaN where none is left."""
    kept = np.where(np.isnan(scores), undefined, scores)
    kept = kept[~np.isnan(kept)]
    return float(kept.mean()) if kept.size else np.nan
