"""Scores on arrays of spots and genes. Numpy, scipy and pandas only."""

from stflow.metrics._arrays import mean_defined
from stflow.metrics._autocorrelation import effective_size, spatial_p_values
from stflow.metrics._ceiling import ceiling
from stflow.metrics._depth import as_predictor, partial
from stflow.metrics._genes import SCORES, pearson, r2, rmse, spearman
from stflow.metrics._intervals import (
    central_interval,
    coverage,
    gaussian_interval,
    shifted_interval,
)
from stflow.metrics._joint import energy_score, variogram_score
from stflow.metrics._matrices import gene_structure_correlation, spot_structure_correlation
from stflow.metrics._p_values import combine_p_values, false_discovery_rate
from stflow.metrics._per_gene import (
    LEVELS,
    means_of,
    per_gene,
    per_gene_depth,
    per_gene_spread,
    per_gene_structure,
)
from stflow.metrics._shifted import normal_sd
from stflow.metrics._spread import crps, crps_gaussian
from stflow.metrics._structure import (
    gene_correlation,
    gene_correlation_error,
    morans_i,
    morans_i_error,
    variance,
    variance_error,
)

__all__ = [
    "as_predictor",
    "ceiling",
    "central_interval",
    "combine_p_values",
    "coverage",
    "crps",
    "crps_gaussian",
    "effective_size",
    "energy_score",
    "false_discovery_rate",
    "gaussian_interval",
    "gene_correlation",
    "gene_correlation_error",
    "gene_structure_correlation",
    "morans_i",
    "morans_i_error",
    "partial",
    "pearson",
    "per_gene",
    "per_gene_depth",
    "per_gene_spread",
    "per_gene_structure",
    "r2",
    "rmse",
    "shifted_interval",
    "spatial_p_values",
    "spearman",
    "spot_structure_correlation",
    "variance",
    "variance_error",
    "variogram_score",
]
