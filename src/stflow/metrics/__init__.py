"""Scores on arrays. Numpy, scipy and pandas only."""

from stflow.metrics._genes import SCORES, pearson, r2, rmse, spearman
from stflow.metrics._joint import energy_score, variogram_score
from stflow.metrics._per_gene import LEVELS, means_of, score_genes, score_spread, score_structure
from stflow.metrics._spread import (
    central_interval,
    coverage,
    crps,
    crps_gaussian,
    gaussian_interval,
)
from stflow.metrics._structure import (
    gene_correlation,
    gene_correlation_error,
    morans_i,
    morans_i_error,
    variance,
    variance_error,
)

__all__ = [
    "LEVELS",
    "SCORES",
    "central_interval",
    "coverage",
    "crps",
    "crps_gaussian",
    "energy_score",
    "gaussian_interval",
    "gene_correlation",
    "gene_correlation_error",
    "means_of",
    "morans_i",
    "morans_i_error",
    "pearson",
    "r2",
    "rmse",
    "score_genes",
    "score_spread",
    "score_structure",
    "spearman",
    "variance",
    "variance_error",
    "variogram_score",
]
