"""Continuous ranked probability score of a predicted distribution, gene by gene."""

from __future__ import annotations

import numpy as np

from stflow.metrics._arrays import as_pair, as_samples, as_sd


def crps(measured: np.ndarray, samples: np.ndarray) -> np.ndarray:
    r"""Continuous ranked probability score of samples, averaged over the spots; less is better.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    samples
        Drawn expression, shape (S, N, G).

    Returns
    -------
    Scores in the unit of the arrays, shape (G,).

    Raises
    ------
    ValueError
        The samples are fewer than 2, or not of the shape (S, N, G) with N >= 1.

    Notes
    -----
    The fair estimator [2]_ of the score [1]_,

    .. math:: \frac1S \sum_i |x_i - y| - \frac1{2 S (S - 1)} \sum_{i, j} |x_i - x_j|,

    whose expectation is that of infinitely many samples, so that predictions of unequally many
    can be compared; it may fall below zero. The second sum comes from the sorted samples.

    References
    ----------
    .. [1] Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation",
       Journal of the American Statistical Association 102 (2007), doi:10.1198/016214506000001437.
    .. [2] Ferro, "Fair scores for ensemble forecasts", Quarterly Journal of the Royal
       Meteorological Society 140 (2014), doi:10.1002/qj.2270.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> measured = np.array([[1.0]])
    >>> samples = np.array([[[0.0]], [[2.0]], [[1.0]]])
    >>> stf.metrics.crps(measured, samples).round(3).tolist()
    [0.0]
    """
    measured, samples = as_samples(measured, samples)
    if measured.ndim != 2:
        raise ValueError(f"Measured expression must be (spots, genes), not {measured.shape}.")
    genes = range(measured.shape[1])
    return np.array([_fair_crps(measured[:, gene], samples[:, :, gene]) for gene in genes])


def _fair_crps(measured: np.ndarray, samples: np.ndarray) -> float:
    """Score one gene: measured (N,), samples (S, N)."""
    ordered = np.sort(samples.astype(np.float64), axis=0)
    n = len(ordered)
    weights = 2.0 * np.arange(1, n + 1) - n - 1
    spread = weights @ ordered / (n * (n - 1))
    return float((np.abs(ordered - measured).mean(axis=0) - spread).mean())


def crps_gaussian(measured: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    r"""Continuous ranked probability score of normal distributions, averaged over the spots.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    mean
        Means of the distributions, shape (N, G).
    sd
        Their standard deviations, shape (N, G); where one is 0, the score is the absolute error.

    Returns
    -------
    Scores in the unit of the arrays, shape (G,); less is better.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1, or an ``sd`` is negative.

    Notes
    -----
    With :math:`z = (y - \mu) / \sigma` and the standard normal :math:`\Phi, \varphi`, the score is
    :math:`\sigma [z (2 \Phi(z) - 1) + 2 \varphi(z) - 1 / \sqrt\pi]` [1]_.

    References
    ----------
    .. [1] Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation",
       Journal of the American Statistical Association 102 (2007), doi:10.1198/016214506000001437.
    """
    from scipy.special import erf

    measured, mean = as_pair(measured, mean)
    sd = as_sd(mean, sd)
    error = measured - mean
    with np.errstate(over="ignore"):
        z = np.divide(error, sd, out=np.zeros_like(error), where=sd > 0)
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    scores = error * erf(z / np.sqrt(2)) + sd * (2 * density - 1 / np.sqrt(np.pi))
    return np.where(sd > 0, scores, np.abs(error)).mean(axis=0)
