"""P-values of several slides into one, and of many genes into rates of false discovery."""

from __future__ import annotations

import numpy as np

from stflow.metrics._arrays import mean_defined

_SMALLEST, _LARGEST = 1e-300, 1 - 2.0**-53


def combine_p_values(p: np.ndarray) -> np.ndarray:
    r"""One p-value a gene from those of several slides, which may depend on each other.

    Parameters
    ----------
    p
        P-values, shape (S, G); NaN where a slide has none for a gene.

    Returns
    -------
    P-values, shape (G,); NaN for a gene that has none on any slide.

    Raises
    ------
    ValueError
        The array does not have that shape, or holds anything beyond 0 to 1.

    Notes
    -----
    Cauchy's rule [1]_: the mean over the slides of :math:`\tan((1/2 - p) \pi)` has nearly a
    Cauchy distribution in its upper tail, however the slides depend on each other. Slides of one
    patient, scored by models that share their training, do; adding up their spots would count
    the same evidence several times. A slide whose p-value is close to 1, where the prediction is
    the wrong way round, outweighs another that is less close to 0.

    References
    ----------
    .. [1] Liu and Xie, "Cauchy combination test: a powerful test with analytic p-value
       calculation under arbitrary dependency structures", Journal of the American Statistical
       Association 115 (2020), doi:10.1080/01621459.2018.1554485.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> of_two_slides = np.array([[0.01, 0.5], [0.01, 0.5]])
    >>> stf.metrics.combine_p_values(of_two_slides).round(3).tolist()
    [0.01, 0.5]
    """
    p = _as_p_values(p, n_axes=2)
    statistic = mean_defined(1 / np.tan(np.pi * np.clip(p, _SMALLEST, _LARGEST)))
    return np.arctan2(1.0, statistic) / np.pi


def false_discovery_rate(p: np.ndarray) -> np.ndarray:
    """Smallest rate of false discoveries, over the genes, at which each gene is one.

    Parameters
    ----------
    p
        P-values of the genes, shape (G,); NaN where there is none.

    Returns
    -------
    Rates by Benjamini and Hochberg's rule, shape (G,); NaN where there is no p-value, which then
    does not count among the genes.

    Raises
    ------
    ValueError
        The array does not have that shape, or holds anything beyond 0 to 1.

    Notes
    -----
    It is what :func:`scipy.stats.false_discovery_control` gives for the others.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> stf.metrics.false_discovery_rate(np.array([0.01, 0.04, np.nan])).round(3).tolist()
    [0.02, 0.04, nan]
    """
    from scipy.stats import false_discovery_control

    p = _as_p_values(p, n_axes=1)
    known = ~np.isnan(p)
    rates = np.full(p.shape, np.nan)
    if known.any():
        rates[known] = false_discovery_control(p[known])
    return rates


def _as_p_values(p: np.ndarray, *, n_axes: int) -> np.ndarray:
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != n_axes:
        shape = "(slides, genes)" if n_axes == 2 else "(genes,)"
        raise ValueError(f"P-values must have the shape {shape}, not {p.shape}.")
    outside = (p < 0) | (p > 1)
    if outside.any():
        raise ValueError(f"{int(outside.sum())} p-values are not between 0 and 1.")
    return p
