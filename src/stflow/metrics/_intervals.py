"""Central intervals of predicted distributions, and how many measurements they cover."""

from __future__ import annotations

import numpy as np

from stflow._validation import require_level
from stflow.metrics._arrays import as_pair, as_sd
from stflow.metrics._shifted import normal_sd, shifted_quantile


def coverage(measured: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Share of the spots whose measurement lies in the interval, ends included.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    lower, upper
        Ends of the intervals, shape (N, G).

    Returns
    -------
    Shares between 0 and 1, shape (G,).

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1, or an interval ends before it starts.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> measured = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> lower, upper = np.zeros((4, 1)), np.full((4, 1), 2.0)
    >>> stf.metrics.coverage(measured, lower, upper).tolist()
    [0.75]
    """
    measured, lower = as_pair(measured, lower)
    measured, upper = as_pair(measured, upper)
    if (lower > upper).any():
        raise ValueError(f"{int((lower > upper).sum())} intervals end before they start.")
    return ((lower <= measured) & (measured <= upper)).mean(axis=0)


def central_interval(samples: np.ndarray, *, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Interval that covers one more sample with probability ``level``, in its middle.

    Its ends are quantiles of Weibull's kind: that promise holds whatever the number S of samples,
    as long as S + 1 is at least ``2 / (1 - level)``; of fewer it is their range.

    Parameters
    ----------
    samples
        Samples along the first axis, shape (S, ...).
    level
        Share, between 0 and 1.

    Returns
    -------
    Lower and upper ends, each of shape (...).

    Raises
    ------
    ValueError
        ``level`` is not between 0 and 1.
    """
    require_level(level)
    ends = [0.5 - level / 2, 0.5 + level / 2]
    lower, upper = np.quantile(samples, ends, axis=0, method="weibull")
    return lower, upper


def gaussian_interval(
    mean: np.ndarray, sd: np.ndarray, *, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interval around the mean that holds a share ``level`` of a normal distribution.

    Parameters
    ----------
    mean
        Means, shape (N, G).
    sd
        Standard deviations, shape (N, G).
    level
        Share, between 0 and 1.

    Returns
    -------
    Lower and upper ends, each of shape (N, G); the lower one may be below zero.

    Raises
    ------
    ValueError
        ``level`` is not between 0 and 1, the shapes differ, or an ``sd`` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> lower, upper = stf.metrics.gaussian_interval(np.zeros((1, 1)), np.ones((1, 1)), level=0.9)
    >>> upper.round(3).tolist()
    [[1.645]]
    """
    from scipy.special import ndtri

    require_level(level)
    mean = np.asarray(mean, dtype=np.float64)
    half = ndtri(0.5 + level / 2) * as_sd(mean, sd)
    return mean - half, mean + half


def shifted_interval(
    mean: np.ndarray,
    sd: np.ndarray,
    *,
    shift: np.ndarray | float,
    df: float,
    level: float,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Interval that holds a share ``level`` of what a slide's spots and its shift make together.

    All spots of a slide share the shift of a gene, and its size is known from few slides or
    patients only, so it follows Student's t. With ``shift`` 0 or ``df`` infinite this is
    :func:`gaussian_interval`.

    Parameters
    ----------
    mean
        Means, shape (N, G).
    sd
        Standard deviations of spots and shift together, shape (N, G).
    shift
        Scale of the shift, shape (G,) or (N, G). What of it is more than ``sd`` holds is left out.
    df
        Degrees of freedom of the shift, at least 1: one fewer than patients.
    level
        Share, between 0 and 1.

    Returns
    -------
    Lower and upper ends, each of shape (N, G); the lower one may be below zero.

    Raises
    ------
    ValueError
        ``level`` is not between 0 and 1, ``df`` is below 1, the shapes differ, an ``sd`` is
        negative, or a ``shift`` is negative or not finite.

    Notes
    -----
    The distribution is that of :math:`\mu + \tau T + \sigma_0 Z` with the shift's scale
    :math:`\tau`, :math:`T` of Student's t and :math:`Z` normal, independent. A t of few degrees
    has no variance, so ``sd`` holds the shift as the normal whose central 80 % are as wide:
    :math:`\sigma^2 = \sigma_0^2 + (c \tau)^2`, :math:`c = t_{0.9} / z_{0.9}`. Quantiles are
    interpolated between shares :math:`(c \tau / \sigma)^2`, to within 0.1 % up to ``level`` 0.99.

    Where the scale was estimated from as few patients as ``df`` says, the interval errs wide, as
    it must where spots and patients both vary: it holds up to 10 points more than ``level`` with
    two patients, up to 4 with four.
    """
    require_level(level)
    mean = np.asarray(mean, dtype=np.float64)
    sd = as_sd(mean, sd)
    scale = normal_sd(df) * _as_shift(mean, shift)
    ratio = np.divide(scale, sd, out=np.zeros_like(sd), where=sd > 0)
    half = shifted_quantile(np.minimum(ratio, 1.0) ** 2, df=df, level=level) * sd
    return mean - half, mean + half


def _as_shift(mean: np.ndarray, shift: np.ndarray | float) -> np.ndarray:
    shift = np.asarray(shift, dtype=np.float64)
    if shift.shape not in ((), mean.shape[-1:], mean.shape):
        raise ValueError(f"Means have shape {mean.shape}, shifts {shift.shape}, not one a gene.")
    if not (shift >= 0).all() or np.isinf(shift).any():
        raise ValueError("Shifts must be finite and at least 0.")
    return shift
