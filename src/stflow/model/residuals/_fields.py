"""Random fields over the spots of a slide, drawn and recognised with its graph. Arrays only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.optimize import nnls

LEVELS = (0, 1, 4, 16)
LAGS = (1, 2, 4, 8)
PROBES, AT_ONCE, N_DRAWN = 1024, 64, 128


class Smoother:
    """What averaging over neighbours does to noise on a slide; computed once, when asked for.

    Parameters
    ----------
    graph
        Neighbours of each spot, shape (N, N).
    """

    def __init__(self, graph: sp.csr_matrix) -> None:
        average = sp.csr_matrix(graph, dtype=np.float32, copy=True)
        average.data[:] = 1
        average.setdiag(1)
        average.data /= np.repeat(average.getnnz(1), average.getnnz(1))
        self.average, self.n_spots = average, graph.shape[0]

    @cached_property
    def spread(self) -> np.ndarray:
        """Standard deviation of white noise averaged ``LEVELS`` times, shape (levels, N).

        Exact for up to ``PROBES`` spots and for spots without neighbours, and elsewhere right to
        about ``1 / sqrt(2 * PROBES)``, 2 %. The cost is linear in the number of spots.
        """
        squares = np.zeros((len(LEVELS), self.n_spots), dtype=np.float32)
        for some in probes(self.n_spots):
            smooth = powers(self.average, some, LEVELS)
            squares += np.stack([np.einsum("ij,ij->i", each, each) for each in smooth])
        return np.sqrt(squares)

    @cached_property
    def back(self) -> sp.csr_matrix:
        """The transpose of ``average``."""
        return self.average.T.tocsr()

    @cached_property
    def expected(self) -> np.ndarray:
        """`likeness` of fields of each level and of a constant, shape (lags + 2, levels + 1)."""
        rng, columns = np.random.default_rng(0), []
        for level in range(len(LEVELS)):
            shares = np.zeros((len(LEVELS) + 1, N_DRAWN))
            shares[level] = 1
            columns.append(self.likeness(draw_fields(self, shares, rng)).mean(1))
        return np.stack([*columns, np.ones(len(LAGS) + 2)], axis=1)

    def likeness(self, fields: np.ndarray) -> np.ndarray:
        """Mean product of each field (N, F) with itself, at several distances and anywhere."""
        fields = fields.astype(np.float64)
        smooth = powers(self.average, fields, (0, *LAGS))
        rows = [np.mean(fields * each, axis=0) for each in smooth]
        return np.stack([*rows, np.mean(fields, axis=0) ** 2])

    def smooth(self, noise: np.ndarray, level: int) -> np.ndarray:
        """Average noise (N, F) ``LEVELS[level]`` times, and scale it to unit variance."""
        (averaged,) = powers(self.average, noise, LEVELS[level : level + 1])
        return averaged / self.spread[level, :, None]

    def smooth_back(self, values: np.ndarray, level: int) -> np.ndarray:
        """Multiply values (N, F) by the transpose of what `smooth` multiplies by."""
        scaled = values / self.spread[level, :, None]
        (spread_out,) = powers(self.back, scaled, LEVELS[level : level + 1])
        return spread_out


def probes(n_spots: int) -> Iterator[np.ndarray]:
    """Yield columns for which the mean of ``|m @ columns|**2`` is ``|m|**2``, shape (N, some).

    One for each spot, or random signs when ``PROBES`` are fewer (Hutchinson's estimator).
    """
    rng = np.random.default_rng(0)
    for first in range(0, min(n_spots, PROBES), AT_ONCE):
        if n_spots <= PROBES:
            yield np.eye(n_spots, AT_ONCE, -first, dtype=np.float32)
        else:
            signs = 2 * rng.integers(2, size=(n_spots, AT_ONCE), dtype=np.int8) - 1
            yield signs / np.float32(np.sqrt(PROBES))


def powers(matrix: sp.csr_matrix, values: np.ndarray, steps: tuple[int, ...]) -> Iterator:
    """Multiply values by a matrix again and again, giving them after each of ``steps``."""
    done = 0
    for step in steps:
        for _ in range(step - done):
            values = matrix @ values
        done = step
        yield values


def draw_fields(smoother: Smoother, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw independent Gaussian fields of unit variance at every spot, a mixture of ranges each.

    A field is the sum of white noise averaged over the neighbours ``LEVELS`` times, from rough to
    smooth, each scaled to unit variance, and of a constant. The cost is linear in the number of
    spots.

    Parameters
    ----------
    smoother
        The slide, N spots.
    shares
        Variance of each level, and of the constant, in each field; shape (levels + 1, fields).
    rng
        Where noise comes from.

    Returns
    -------
    Shape (N, fields).
    """
    shape, weights = (smoother.n_spots, shares.shape[1]), np.sqrt(shares).astype(np.float32)
    fields = np.tile(weights[-1] * rng.standard_normal(shape[1], dtype=np.float32), (shape[0], 1))
    for level, weight in enumerate(weights[:-1]):
        noise = rng.standard_normal(shape, dtype=np.float32)
        fields += weight * smoother.smooth(noise, level)
    return fields


def fit_shares(smoothers: list[Smoother], fields: list[np.ndarray]) -> np.ndarray:
    """Recognise the ranges of fields by the method of moments.

    Parameters
    ----------
    smoothers, fields
        The slides, and fields (N, F) on each.

    Returns
    -------
    Shares as `draw_fields` takes them, shape (levels + 1, F), that sum to 1.
    """
    sizes = np.array([each.n_spots for each in smoothers], dtype=np.float64)
    pairs = zip(smoothers, fields, strict=True)
    found = np.average([slide.likeness(each) for slide, each in pairs], 0, sizes)
    expected = np.average([slide.expected for slide in smoothers], 0, sizes)
    shares = np.stack([nnls(expected, column)[0] for column in found.T], axis=1)
    shares[0, shares.sum(0) == 0] = 1
    return shares / shares.sum(0)
