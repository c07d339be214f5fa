"""Per-gene scores on arrays. Numpy, scipy and pandas only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

SCORES = ("pearson", "spearman", "r2", "rmse")
_ROUNDING = 1e-12


def _pair(measured: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    measured = np.asarray(measured, dtype=np.float64)
    predicted = np.asarray(predicted, dtype=np.float64)
    if measured.ndim != 2 or measured.shape != predicted.shape:
        raise ValueError(
            "Measured and predicted expression must have one shape (spots, genes), not "
            f"{measured.shape} and {predicted.shape}."
        )
    if measured.shape[0] == 0:
        raise ValueError("There are no spots to score.")
    return measured, predicted


def _constant(values: np.ndarray) -> np.ndarray:
    """Find the columns whose spread is nothing but rounding."""
    return np.ptp(values, axis=0) <= _ROUNDING * np.abs(values).max(axis=0)


def _defined(scores: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    return np.where(undefined, np.nan, scores)


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
    """
    measured, predicted = _pair(measured, predicted)
    undefined = _constant(measured) | _constant(predicted)
    x = measured - measured.mean(axis=0)
    y = predicted - predicted.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x /= np.abs(x).max(axis=0)
        y /= np.abs(y).max(axis=0)
        scores = (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return _defined(np.clip(scores, -1.0, 1.0), undefined)


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

    measured, predicted = _pair(measured, predicted)
    undefined = _constant(measured) | _constant(predicted)
    return _defined(pearson(rankdata(measured, axis=0), rankdata(predicted, axis=0)), undefined)


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
    measured, predicted = _pair(measured, predicted)
    residual = ((measured - predicted) ** 2).sum(axis=0)
    total = ((measured - measured.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _defined(1.0 - residual / total, _constant(measured))


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
    """
    measured, predicted = _pair(measured, predicted)
    return np.sqrt(((measured - predicted) ** 2).mean(axis=0))


def score_genes(
    measured: np.ndarray, predicted: np.ndarray, *, genes: Sequence[str]
) -> pd.DataFrame:
    """All scores of each gene, with their means over the genes where they are defined.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).
    genes
        Names of the G columns.

    Returns
    -------
    One row a gene, columns ``pearson``, ``spearman``, ``r2``, ``rmse`` and ``n_spots``. Its
    ``.attrs`` hold the mean of each score over the genes where it is defined (NaN when it is
    nowhere), ``n_undefined`` (for each score, the number of genes left out of that mean) and
    ``n_genes``.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1 and one name a column.
    """
    measured, predicted = _pair(measured, predicted)
    if measured.shape[1] != len(genes):
        raise ValueError(f"{len(genes)} gene names for {measured.shape[1]} columns.")
    functions = dict(zip(SCORES, (pearson, spearman, r2, rmse), strict=True))
    table = pd.DataFrame(
        {name: score(measured, predicted) for name, score in functions.items()},
        index=pd.Index(list(genes), name="gene"),
    )
    table["n_spots"] = measured.shape[0]
    means = {name: float(table[name].mean(skipna=True)) for name in SCORES}
    undefined = {name: int(table[name].isna().sum()) for name in SCORES}
    table.attrs.update(means)
    table.attrs.update(n_undefined=undefined, n_genes=len(genes))
    return table
