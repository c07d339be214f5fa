"""Scores of a single prediction, gene by gene, on arrays."""

from __future__ import annotations

import numpy as np

from stflow.metrics._arrays import as_pair, constant, defined

SCORES = ("pearson", "spearman", "r2", "rmse")


def pearson(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Pearson correlation of each gene over the spots.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).

    Returns
    -------
    Correlations, shape (G,); NaN for a gene that is constant in either array.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> measured = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    >>> stf.metrics.pearson(measured, 2 * measured).tolist()  # the second gene is constant
    [1.0, nan]
    """
    measured, predicted = as_pair(measured, predicted)
    undefined = constant(measured) | constant(predicted)
    x = measured - measured.mean(axis=0)
    y = predicted - predicted.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x /= np.abs(x).max(axis=0)
        y /= np.abs(y).max(axis=0)
        scores = (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return defined(np.clip(scores, -1.0, 1.0), undefined)


def spearman(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Spearman rank correlation of each gene over the spots; ties share their mean rank.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).

    Returns
    -------
    Correlations, shape (G,); NaN for a gene that is constant in either array.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1.
    """
    from scipy.stats import rankdata

    measured, predicted = as_pair(measured, predicted)
    undefined = constant(measured) | constant(predicted)
    return defined(pearson(rankdata(measured, axis=0), rankdata(predicted, axis=0)), undefined)


def r2(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Share of each gene's variance over the spots that the prediction explains.

    It is 1 for a perfect prediction, 0 for the measured mean, and negative for anything worse.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).

    Returns
    -------
    Coefficients of determination, shape (G,); NaN for a gene whose measurement is constant.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1.
    """
    measured, predicted = as_pair(measured, predicted)
    residual = ((measured - predicted) ** 2).sum(axis=0)
    total = ((measured - measured.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return defined(1.0 - residual / total, constant(measured))


def rmse(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Root mean squared error of each gene over the spots, in the unit of the arrays.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).

    Returns
    -------
    Errors, shape (G,).

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> measured = np.array([[0.0], [2.0]])
    >>> stf.metrics.rmse(measured, measured + 0.5).tolist()
    [0.5]
    """
    measured, predicted = as_pair(measured, predicted)
    return np.sqrt(((measured - predicted) ** 2).mean(axis=0))
