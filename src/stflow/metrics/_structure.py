"""What a prediction keeps of the whole: how genes vary, with each other and across the tissue."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from stflow.metrics._arrays import as_draws, constant, defined, mean_defined


def gene_correlation(values: np.ndarray) -> np.ndarray:
    """Pearson correlation of each pair of genes over the spots.

    Parameters
    ----------
    values
        Expression, shape (N, G) with N >= 1.

    Returns
    -------
    Correlations, shape (G, G); NaN in the rows and columns of genes that are constant.
    """
    values = np.asarray(values, dtype=np.float64)
    undefined = constant(values)
    centred = values - values.mean(axis=0)
    length = np.linalg.norm(centred, axis=0)
    z = centred / np.where(undefined, 1.0, length)
    return defined(np.clip(z.T @ z, -1.0, 1.0), undefined | undefined[:, None])


def gene_correlation_error(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Root mean squared error of the correlations between genes.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        A prediction, shape (N, G), or samples of one, shape (S, N, G): each sample then has its
        own correlations and error, and the errors are averaged.

    Returns
    -------
    Error over the pairs of different genes whose correlation is defined in both; NaN when there
    are none.

    Raises
    ------
    ValueError
        The arrays do not have these shapes with N >= 1 and S >= 1.
    """
    measured, draws = as_draws(measured, predicted)
    pairs = np.triu_indices(measured.shape[1], k=1)
    known = gene_correlation(measured)[pairs]
    gaps = [gene_correlation(draw)[pairs] - known for draw in draws]
    return float(mean_defined(np.sqrt([mean_defined(gap**2) for gap in gaps])))


def morans_i(values: np.ndarray, graph: sp.spmatrix | sp.sparray | np.ndarray) -> np.ndarray:
    """Moran's I of each gene: how alike the expression of neighbouring spots is.

    It is what :func:`squidpy.gr.spatial_autocorr` gives: the weights of a spot's neighbours add up
    to 1.

    Parameters
    ----------
    values
        Expression, shape (N, G), or samples of it, shape (S, N, G).
    graph
        Weights of the neighbours (columns) of each spot (rows), shape (N, N).

    Returns
    -------
    Moran's I, shape (G,) or (S, G); NaN for a gene that is constant, and for all of them when the
    graph has no edges.

    Raises
    ------
    ValueError
        The graph does not have one row and one column a spot.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> ring = np.roll(np.eye(4), 1, axis=1) + np.roll(np.eye(4), -1, axis=1)
    >>> alternating = np.array([[1.0], [0.0], [1.0], [0.0]])
    >>> stf.metrics.morans_i(alternating, ring).tolist()
    [-1.0]
    """
    values = np.asarray(values)
    n_spots = values.shape[-2]
    if graph.shape != (n_spots, n_spots):
        raise ValueError(f"The graph has shape {graph.shape} for {n_spots} spots.")
    weights = _row_normalised(graph)
    draws = values if values.ndim == 3 else values[None]
    found = np.stack([_morans_i(draw.astype(np.float64), weights) for draw in draws])
    return found if values.ndim == 3 else found[0]


def _row_normalised(graph: sp.spmatrix | sp.sparray | np.ndarray) -> sp.csr_array:
    weights = sp.csr_array(graph, dtype=np.float64)
    total = weights.sum(axis=1)
    return sp.diags_array(1.0 / np.where(total > 0, total, 1.0)) @ weights


def _morans_i(values: np.ndarray, weights: sp.csr_array) -> np.ndarray:
    undefined = constant(values) | (weights.nnz == 0)
    z = values - values.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z /= np.abs(z).max(axis=0)
        found = len(z) / weights.sum() * (z * (weights @ z)).sum(axis=0) / (z**2).sum(axis=0)
    return defined(found, undefined)


def morans_i_error(
    measured: np.ndarray, predicted: np.ndarray, graph: sp.spmatrix | sp.sparray | np.ndarray
) -> np.ndarray:
    """Absolute error of each gene's Moran's I.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        A prediction, shape (N, G), or samples of one, shape (S, N, G), whose errors are averaged
        over the samples where they are defined.
    graph
        Weights of the neighbours (columns) of each spot (rows), shape (N, N).

    Returns
    -------
    Errors, shape (G,); NaN where Moran's I is undefined.

    Raises
    ------
    ValueError
        The arrays do not have these shapes with N >= 1 and S >= 1.
    """
    measured, draws = as_draws(measured, predicted)
    return mean_defined(np.abs(morans_i(draws, graph) - morans_i(measured, graph)))


def variance(values: np.ndarray) -> np.ndarray:
    """Variance of each gene over the spots.

    Parameters
    ----------
    values
        Expression, shape (N, G), or samples of it, shape (S, N, G).

    Returns
    -------
    Mean squared distances from the mean, shape (G,) or (S, G).
    """
    return np.var(values, axis=-2, dtype=np.float64)


def variance_error(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Absolute error of each gene's variance over the spots, as a share of the measured one.

    It is 1 for a prediction that is constant, where a ratio on a log scale would be infinite.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        A prediction, shape (N, G), or samples of one, shape (S, N, G), whose errors are averaged.

    Returns
    -------
    Errors, shape (G,); NaN for a gene whose measurement is constant.

    Raises
    ------
    ValueError
        The arrays do not have these shapes with N >= 1 and S >= 1.
    """
    measured, draws = as_draws(measured, predicted)
    undefined = constant(measured)
    known = np.where(undefined, 1.0, variance(measured))
    return defined(np.abs(variance(draws) / known - 1.0).mean(axis=0), undefined)
