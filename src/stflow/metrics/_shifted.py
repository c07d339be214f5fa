"""Quantiles of a sum of a normal and a Student t variable, by the share that each has."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_N_SHARES, _N_SCALES = 257, 256
_TAIL = 1e-12
_WIDE_AT = 0.9


def normal_sd(df: float) -> float:
    """Return the sd of a normal distribution whose central 80 % are as wide as those of a t.

    Parameters
    ----------
    df
        Degrees of freedom, at least 1; infinite: 1.0.
    """
    from scipy.special import ndtri, stdtrit

    require_df(df)
    return 1.0 if np.isinf(df) else float(stdtrit(df, _WIDE_AT) / ndtri(_WIDE_AT))


def shifted_quantile(share: np.ndarray, *, df: float, level: float) -> np.ndarray:
    """Half the width of the central interval, over the sd of t and normal together.

    Parameters
    ----------
    share
        Of the t in the squared sd, in which it counts as the normal of `normal_sd`; of any shape.
    df
        Degrees of freedom, at least 1.
    level
        Share that the interval holds, between 0 and 1.
    """
    from scipy.special import ndtri

    require_df(df)
    if np.isinf(df) or not np.any(share):
        return np.full(np.shape(share), ndtri(0.5 + level / 2))
    return np.interp(np.arcsin(np.sqrt(share)), *_quantiles(float(df), float(level)))


def require_df(df: float) -> None:
    """Raise ``ValueError`` unless these are degrees of freedom that a shift can have."""
    if not df >= 1:
        raise ValueError(f"`df` must be at least 1, or infinite, not {df!r}.")


@lru_cache(maxsize=128)
def _quantiles(df: float, level: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Angles, whose squared sine is the share of the t, and the quantile at each.

    Given its scale, a t is normal: :math:`T = Z \sqrt{d / V}` with :math:`V` of the chi-squared
    distribution. So the sum has the distribution function of a normal, averaged over :math:`V`,
    which is smooth at every share. Angles lie closer where the t is small and its tails set in.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri, stdtrit

    upper, c = 0.5 + level / 2, normal_sd(df)
    angles = 0.5 * np.pi * np.linspace(0, 1, _N_SHARES) ** 2
    variances, weights = _scales(df)
    ends = float(ndtri(upper)), float(stdtrit(df, upper)) / c
    found = np.full(_N_SHARES, ends[0])
    for at, angle in enumerate(angles[1:-1], start=1):
        sd = np.sqrt(np.cos(angle) ** 2 + (np.sin(angle) / c) ** 2 * variances)
        found[at] = brentq(lambda x, sd=sd: ndtr(x / sd) @ weights - upper, 0, 2 * max(ends))
    found[-1] = ends[1]
    return angles, found


def _scales(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Variances of the normals that a Student t is a mixture of, and their weights."""
    from scipy.stats import chi2

    squares = np.geomspace(chi2.ppf(_TAIL, df), chi2.isf(_TAIL, df), _N_SCALES)
    weights = chi2.pdf(squares, df) * squares
    return df / squares, weights / weights.sum()
