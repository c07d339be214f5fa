"""Whether a correlation is more than two smooth maps have by chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from stflow._validation import require_finite
from stflow.metrics._arrays import as_pair, constant, defined
from stflow.metrics._genes import pearson

_ROWS = 64
_SHARED = 1 / 3
_LEAST = 3.0


def effective_size(coords: np.ndarray, measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    r"""Count the independent spots that would tell as much of each gene's correlation.

    Neighbouring spots resemble each other, in what is measured and in what is predicted, so that
    maps which have nothing to do with one another correlate by chance far more than independent
    numbers do.

    Parameters
    ----------
    coords
        Centres of the spots, shape (N, 2), in any unit.
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).

    Returns
    -------
    Effective sample sizes between 3 and N, shape (G,); NaN for a gene that is constant in either
    array, and for all of them when fewer than 4 spots are given.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1, or the coordinates not two finite
        numbers a spot.

    Notes
    -----
    With covariance matrices :math:`\Sigma_x, \Sigma_y` of the spots and :math:`B` the matrix that
    takes out the mean, it is [1]_ [2]_

    .. math::
        1 + \frac{\mathrm{tr}(B \Sigma_x) \, \mathrm{tr}(B \Sigma_y)}
        {\mathrm{tr}(B \Sigma_x B \Sigma_y)}.

    A covariance depends on the distance alone: one for each spot with itself, and one for each
    of :math:`\sqrt N` classes of equal width, which on a compact slide is about the spots' pitch.
    Wider ones, as Sturges' rule gives, miss how fast it falls. With :math:`M_k` the 0/1 matrix of
    the pairs in class :math:`k`, the sums :math:`g_k = z^\top M_k z` over the centred values have
    the expectations :math:`A \sigma`, :math:`A_{kl} = \mathrm{tr}(B M_k B M_l)`, so that the
    denominator is :math:`\sigma_x^\top A \sigma_y = g_x^\top A^+ g_y`. It is free of the bias
    that averages over classes have because the mean is taken out: with those, unrelated maps that
    are nearly as smooth as the slide is wide pass a test at 5 % in 7 to 10 % of cases.

    When two unrelated maps correlate, they also share their coarse pattern, and the size comes
    out too small just where it matters. Of the measured values' sums, a third is therefore taken
    from what a straight line in the predicted ones leaves of them. Without that, .2 to .6 % of
    unrelated smooth maps pass a test at 1 %; with the rest alone 2 to 10 % do. A third was chosen
    by simulation, over several lattices and smoothnesses.

    Time grows as :math:`N^2 G`, memory as :math:`N G`. Draw some 2,000 spots of a larger slide.

    References
    ----------
    .. [1] Clifford, Richardson and Hemon, "Assessing the significance of the correlation between
       two spatial processes", Biometrics 45 (1989), doi:10.2307/2532039.
    .. [2] Dutilleul, "Modifying the t test for assessing the correlation between two spatial
       processes", Biometrics 49 (1993), doi:10.2307/2532625.
    """
    measured, predicted = as_pair(measured, predicted)
    coords = _as_coords(coords, len(measured))
    undefined = constant(measured) | constant(predicted)
    if len(measured) < 4:
        return np.full(measured.shape[1], np.nan)
    x, y = (_unit(values, undefined) for values in (measured, predicted))
    sums = _sums_by_class(coords, x, y)
    slope = sums.xy[0]
    rest = sums.xx - 2 * slope * sums.xy + slope**2 * sums.yy
    known = (1 - _SHARED) * sums.xx + _SHARED * rest
    inverse = np.linalg.pinv(sums.expected, rcond=1e-9, hermitian=True)
    variance = np.einsum("kg,kl,lg->g", known, inverse, sums.yy)
    least = known[0] * sums.yy[0] / (len(x) - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = 1 + known[0] * sums.yy[0] / np.maximum(variance, least)
    return defined(np.clip(size, _LEAST, len(x)), undefined)


def spatial_p_values(coords: np.ndarray, measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """One-sided p-value of each gene's correlation, given how smooth both maps are.

    Small where measured and predicted expression correlate more, in the positive sense, than
    unrelated maps of such smoothness do.

    Parameters
    ----------
    coords
        Centres of the spots, shape (N, 2), in any unit.
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).

    Returns
    -------
    P-values, shape (G,); NaN where the correlation is undefined, and for all genes when fewer
    than 4 spots are given.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1, or the coordinates not two finite
        numbers a spot.

    Notes
    -----
    Student's t test of a Pearson correlation, its degrees of freedom two less than
    :func:`stflow.metrics.effective_size`.

    Of smooth fields that have nothing to do with each other, 4 to 7 % pass at 5 %, on lattices of
    196 to 400 spots, and .2 to 1.3 % at 1 %, where independent spots would let 20 to 43 % pass at
    5 %. For fields about as smooth as the slide is wide it is the more careful the smaller the
    level, so that few such slides do not add up to much.
    """
    from scipy.stats import t

    freedom = effective_size(coords, measured, predicted) - 2
    r = pearson(measured, predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        return t.sf(r * np.sqrt(freedom / (1 - r**2)), freedom)


class _Sums(NamedTuple):
    """Sums over the ordered pairs of each class, (K, G), and what centring makes of the classes."""

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    expected: np.ndarray


def _as_coords(coords: np.ndarray, n_spots: int) -> np.ndarray:
    coords = np.asarray(coords, dtype=np.float64)
    if coords.shape != (n_spots, 2):
        raise ValueError(f"Coordinates must have the shape ({n_spots}, 2), not {coords.shape}.")
    require_finite(coords, what="`coords`")
    return coords


def _unit(values: np.ndarray, undefined: np.ndarray) -> np.ndarray:
    """Centre each gene and give it length 1; 0 where it is undefined."""
    centred = np.where(undefined, 0.0, values - values.mean(axis=0))
    centred /= np.where(undefined, 1.0, np.abs(centred).max(axis=0))
    return centred / np.where(undefined, 1.0, np.linalg.norm(centred, axis=0))


def _sums_by_class(coords: np.ndarray, x: np.ndarray, y: np.ndarray) -> _Sums:
    """Add up products over pairs by class of distance; class 0 is each spot with itself."""
    n, n_genes = x.shape
    n_classes = int(np.ceil(np.sqrt(n)))
    width = max(_distances(coords, rows).max() for rows in _chunks(n)) / n_classes
    xx, xy, yy = np.zeros((3, n_classes + 1, n_genes))
    size, overlap = np.zeros(n_classes + 1), np.zeros((n_classes + 1, n_classes + 1))
    for rows in _chunks(n):
        classes = _classes(_distances(coords, rows), width, n_classes, rows)
        lag_x, lag_y = (_lag(classes, values, n_classes + 1) for values in (x, y))
        xx += np.einsum("ig,kig->kg", x[rows], lag_x)
        xy += np.einsum("ig,kig->kg", x[rows], lag_y)
        yy += np.einsum("ig,kig->kg", y[rows], lag_y)
        degree = np.stack([(classes == k).sum(axis=1) for k in range(n_classes + 1)])
        size += degree.sum(axis=1)
        overlap += degree @ degree.T
    expected = np.diag(size) - 2 / n * overlap + np.outer(size, size) / n**2
    return _Sums(xx, xy, yy, expected)


def _chunks(n: int) -> list[slice]:
    return [slice(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS)]


def _distances(coords: np.ndarray, rows: slice) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(coords[rows], coords)


def _classes(distances: np.ndarray, width: float, n_classes: int, rows: slice) -> np.ndarray:
    """Class of each pair: 0 on the diagonal, else 1 to ``n_classes``, upper ends included."""
    if width > 0:
        distances = np.ceil(distances / width - 1e-9)
    classes = np.clip(distances, 1, n_classes).astype(np.intp)
    classes[np.arange(len(classes)), np.arange(rows.start, rows.stop)] = 0
    return classes


def _lag(classes: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    """Add up the values (N, G) in each class around each row: shape (K, rows, G)."""
    n_rows, n = classes.shape
    at = classes * n_rows + np.arange(n_rows)[:, None]
    columns = np.broadcast_to(np.arange(n), classes.shape)
    ones = np.ones(classes.size)
    members = sp.csr_array((ones, (at.ravel(), columns.ravel())), shape=(number * n_rows, n))
    return (members @ values).reshape(number, n_rows, -1)
