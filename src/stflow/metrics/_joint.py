"""Scores of a predicted joint distribution: of several genes, or of several spots, at once."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from stflow.metrics._arrays import as_samples


def energy_score(measured: np.ndarray, samples: np.ndarray) -> np.ndarray:
    r"""Energy score of samples of vectors; less is better.

    The last axis is the vector: expression of shape (N, G) has one score a spot, for its genes
    together. Transpose it to score each gene's spots together, or flatten it for the whole field.

    Parameters
    ----------
    measured
        Measured vectors, shape (..., D).
    samples
        Drawn vectors, shape (S, ..., D).

    Returns
    -------
    Scores in the unit of the arrays, shape (...).

    Raises
    ------
    ValueError
        The samples are fewer than 2, or not of the shape (S, ..., D).

    Notes
    -----
    For vectors, the distances in :func:`stflow.metrics.crps` are Euclidean [1]_:

    .. math:: \frac1S \sum_i \|x_i - y\| - \frac1{2 S (S - 1)} \sum_{i, j} \|x_i - x_j\|.

    References
    ----------
    .. [1] Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation",
       Journal of the American Statistical Association 102 (2007), doi:10.1198/016214506000001437.
    """
    measured, samples = _as_vectors(measured, samples)
    n = len(samples)
    error = sum(_distance(draw, measured) for draw in samples) / n
    spread = sum(_distance(one, other) for one, other in combinations(samples, 2))
    return np.asarray(error - spread / (n * (n - 1)))


def variogram_score(
    measured: np.ndarray, samples: np.ndarray, pairs: np.ndarray, *, p: float = 0.5
) -> np.ndarray:
    r"""Variogram score of samples of vectors, over given pairs of entries; less is better.

    It sees what the energy score hardly does: whether entries that go together in what was
    measured do so in the samples. As there, the last axis is the vector, such as the spots, with
    pairs of neighbours, or the genes.

    Parameters
    ----------
    measured
        Measured vectors, shape (..., D).
    samples
        Drawn vectors, shape (S, ..., D).
    pairs
        Positions in the vector, shape (P, 2).
    p
        Order of the variogram.

    Returns
    -------
    Scores, shape (...).

    Raises
    ------
    ValueError
        The samples are fewer than 2 or not of the shape (S, ..., D), there are no pairs or not of
        the shape (P, 2), or ``p`` is not positive.
    IndexError
        A pair names an entry that the vectors do not have.

    Notes
    -----
    The mean over the pairs :math:`(i, j)`, with equal weights, of

    .. math:: \left( |y_i - y_j|^p - \frac1S \sum_s |x_{si} - x_{sj}|^p \right)^2

    [1]_. The noise of the mean over S samples adds to the score, so compare equally many.

    References
    ----------
    .. [1] Scheuerer and Hamill, "Variogram-based proper scoring rules for probabilistic forecasts
       of multivariate quantities", Monthly Weather Review 143 (2015), doi:10.1175/MWR-D-14-00269.1.
    """
    measured, samples = _as_vectors(measured, samples)
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0:
        raise ValueError(f"`pairs` must have shape (P, 2) with P >= 1, not {pairs.shape}.")
    if not p > 0:
        raise ValueError(f"`p` must be positive, not {p!r}.")
    expected = sum(_variogram(draw, pairs, p) for draw in samples) / len(samples)
    return np.asarray(((_variogram(measured, pairs, p) - expected) ** 2).mean(axis=-1))


def _as_vectors(measured: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    measured, samples = as_samples(measured, samples)
    if measured.ndim == 0:
        raise ValueError("A single number is no vector; `stflow.metrics.crps` scores numbers.")
    return measured, samples


def _distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.subtract(x, y, dtype=np.float64), axis=-1)


def _variogram(values: np.ndarray, pairs: np.ndarray, p: float) -> np.ndarray:
    first, second = values[..., pairs[:, 0]], values[..., pairs[:, 1]]
    return np.abs(np.subtract(first, second, dtype=np.float64)) ** p
