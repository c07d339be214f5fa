"""Scores on arrays of spots and genes. Numpy, scipy and pandas only."""

from stflow.metrics._genes import SCORES, pearson, r2, rmse, spearman
from stflow.metrics._joint import energy_score, variogram_score
from stflow.metrics._per_gene import LEVELS, means_of, per_gene, per_gene_spread, per_gene_structure
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
    "central_interval",
    "coverage",
    "crps",
    "crps_gaussian",
    "energy_score",
    "gaussian_interval",
    "gene_correlation",
    "gene_correlation_error",
    "morans_i",
    "morans_i_error",
    "pearson",
    "per_gene",
    "per_gene_spread",
    "per_gene_structure",
    "r2",
    "rmse",
    "spearman",
    "variance",
    "variance_error",
    "variogram_score",
]
