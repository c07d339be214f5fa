"""Whether a prediction keeps which genes, and which spots, go together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stflow._validation import require_count, require_seed
from stflow.metrics._arrays import as_draws, constant, mean_defined
from stflow.metrics._genes import pearson
from stflow.metrics._structure import gene_correlation


def gene_structure_correlation(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Pearson correlation of the correlations between genes, as predicted and as measured.

    It asks which pairs of genes go together more than others;
    :func:`stflow.metrics.gene_correlation_error` also asks how much.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        A prediction, shape (N, G), or samples of one, shape (S, N, G), whose scores are averaged.

    Returns
    -------
    Correlation over the pairs of different genes, each pair once, of the two matrices of Pearson
    correlations over the spots. Genes that are constant in either array are left out; NaN when
    fewer than three genes are left, or all pairs are alike, as in a prediction that has one
    pattern for all genes.

    Raises
    ------
    ValueError
        The arrays do not have these shapes with N >= 1 and S >= 1.

    Notes
    -----
    What Si et al. call the gene structural correlation (GSC) [1]_.

    References
    ----------
    .. [1] Si et al., "FLAG: Foundation model representation with latent diffusion alignment via
       graph for spatial gene expression prediction", ICML (2026), arXiv:2605.18055.
    """
    measured, draws = as_draws(measured, predicted)
    return float(mean_defined(np.array([_agreement(measured, x, gene_correlation) for x in draws])))


def spot_structure_correlation(
    measured: np.ndarray, predicted: np.ndarray, *, seed: int, max_spots: int = 2000
) -> float:
    """Pearson correlation of the correlations between spots, as predicted and as measured.

    It asks which spots are alike, wherever they lie, as domains of a tissue are.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        A prediction, shape (N, G), or samples of one, shape (S, N, G), whose scores are averaged.
    seed
        Seed of the spots that are drawn.
    max_spots
        Number of spots to draw, without replacement, where there are more: the two matrices have
        its square of entries.

    Returns
    -------
    Correlation over the pairs of different spots, each pair once, of the two matrices of Pearson
    correlations over the genes. NaN when fewer than two genes or three spots are left, or all
    pairs are alike, as in a prediction that has one pattern for all genes.

    Raises
    ------
    ValueError
        The arrays do not have these shapes with N >= 1 and S >= 1, or ``max_spots`` or ``seed``
        is out of range.

    Notes
    -----
    Each gene first gets mean 0 and variance 1 over the spots drawn, in either array by itself:
    otherwise all spots would be alike, since the same genes are high in each of them, and the
    most variable gene would speak for all. Genes that are constant in either array are left out,
    and so are spots at which all these values are the same.
    It is of the kind of Si et al.'s SSC [1]_, without being known to be the same in each detail.

    References
    ----------
    .. [1] Si et al., "FLAG: Foundation model representation with latent diffusion alignment via
       graph for spatial gene expression prediction", ICML (2026), arXiv:2605.18055.
    """
    require_seed(seed)
    require_count(max_spots, name="max_spots")
    measured, draws = as_draws(measured, predicted)
    if len(measured) > max_spots:
        drawn = np.random.default_rng(seed).choice(len(measured), max_spots, replace=False)
        measured, draws = measured[drawn], draws[:, drawn]
    return float(mean_defined(np.array([_agreement(measured, x, _between_spots) for x in draws])))


def _agreement(
    measured: np.ndarray, predicted: np.ndarray, matrix: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Correlate the upper triangles of two matrices where both are defined."""
    varying = ~(constant(measured) | constant(predicted))
    if varying.sum() < 2:
        return np.nan
    one, other = (matrix(values[:, varying]) for values in (measured, predicted))
    pairs = np.triu_indices(len(one), k=1)
    one, other = one[pairs], other[pairs]
    known = ~(np.isnan(one) | np.isnan(other))
    if known.sum() < 3:
        return np.nan
    return float(pearson(one[known, None], other[known, None])[0])


def _between_spots(values: np.ndarray) -> np.ndarray:
    """Pearson correlations over genes, each of which is standardised over the spots first."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    return gene_correlation((centred / centred.std(axis=0)).T)
