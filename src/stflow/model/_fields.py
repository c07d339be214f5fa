"""Random fields over the spots of a slide, drawn and recognised with its graph. Arrays only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.optimize import nnls

LEVELS = (0, 1, 4, 16)
LAGS = (1, 2, 4, 8)
PROBES = 32


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
        """Standard deviation over the slide of white noise averaged ``LEVELS`` times."""
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((self.n_spots, PROBES), dtype=np.float32)
        smooth = powers(self.average, noise, LEVELS)
        return np.array([np.sqrt(np.mean(each.astype(np.float64) ** 2)) for each in smooth])

    @cached_property
    def expected(self) -> np.ndarray:
        """`likeness` of fields of each level and of a constant, shape (lags + 2, levels + 1)."""
        rng, columns = np.random.default_rng(0), []
        for level in range(len(LEVELS)):
            shares = np.zeros((len(LEVELS) + 1, 4 * PROBES))
            shares[level] = 1
            columns.append(self.likeness(draw_fields(self, shares, rng)).mean(1))
        return np.stack([*columns, np.ones(len(LAGS) + 2)], axis=1)

    def likeness(self, fields: np.ndarray) -> np.ndarray:
        """Mean product of each field (N, F) with itself, at several distances and anywhere."""
        fields = fields.astype(np.float64)
        smooth = powers(self.average, fields, (0, *LAGS))
        rows = [np.mean(fields * each, axis=0) for each in smooth]
        return np.stack([*rows, np.mean(fields, axis=0) ** 2])

    def add_up(self, at_level: Callable[[int], np.ndarray]) -> np.ndarray:
        """Average ``at_level(i)`` ``LEVELS[i]`` times, and add up over i; smoothest first."""
        total = at_level(len(LEVELS) - 1)
        for i in reversed(range(len(LEVELS) - 1)):
            for _ in range(LEVELS[i + 1] - LEVELS[i]):
                total = self.average @ total
            total = total + at_level(i)
        return total


def powers(matrix: sp.csr_matrix, values: np.ndarray, steps: tuple[int, ...]) -> Iterator:
    """Multiply values by a matrix again and again, giving them after each of ``steps``."""
    done = 0
    for step in steps:
        for _ in range(step - done):
            values = matrix @ values
        done = step
        yield values


def draw_fields(smoother: Smoother, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw independent Gaussian fields of unit variance, a mixture of ranges each.

    A field is the sum of white noise averaged over the neighbours ``LEVELS`` times, from rough to
    smooth, and of a constant. The cost is linear in the number of spots.

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
    shape = smoother.n_spots, shares.shape[1]

    def noise(level: int) -> np.ndarray:
        weight = np.sqrt(shares[level]) / smoother.spread[level]
        return weight.astype(np.float32) * rng.standard_normal(shape, dtype=np.float32)

    fields = smoother.add_up(noise)
    constant = np.sqrt(shares[-1]) * rng.standard_normal(shape[1])
    return fields + constant.astype(np.float32)


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
