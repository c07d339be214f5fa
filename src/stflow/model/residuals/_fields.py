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
    def of_mean(self) -> np.ndarray:
        """Variance of the mean over the slide of a field of each level, shape (levels,)."""
        shares = np.full((self.n_spots, 1), 1 / self.n_spots, dtype=np.float32)
        noise = [self.smooth_back(shares, level) for level in range(len(LEVELS))]
        return np.square(noise).sum((1, 2), dtype=np.float64)

    def kept(self, held: np.ndarray) -> np.ndarray:
        """How much of its mean a field keeps, each level, when of its variance this much is held.

        What slides like those of the fit vary by as a whole is their shift, so fields on them keep
        nothing; those on a few spots alone keep nearly all.
        """
        return np.sqrt(np.clip(1 - held / self.of_mean, 0, 1))

    @cached_property
    def expected(self) -> np.ndarray:
        """`likeness` of fields of each level without their mean, shape (lags + 1, levels)."""
        rng, columns = np.random.default_rng(0), []
        for shares in np.eye(len(LEVELS)):
            shares = np.repeat(shares[:, None], N_DRAWN, axis=1)
            fields = draw_fields(self, shares, np.zeros(len(LEVELS)), rng)
            columns.append(self.likeness(fields).mean(1))
        return np.stack(columns, axis=1)

    def likeness(self, fields: np.ndarray) -> np.ndarray:
        """Mean product of each field (N, F) with itself, at several distances."""
        fields = fields.astype(np.float64)
        smooth = powers(self.average, fields, (0, *LAGS))
        return np.stack([np.mean(fields * each, axis=0) for each in smooth])

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


def centre(fields: np.ndarray, kept: float) -> np.ndarray:
    """Take away the mean over the slide of fields (N, F), but for a share of it."""
    return fields - (1 - kept) * fields.mean(0)


def draw_fields(
    smoother: Smoother, shares: np.ndarray, kept: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw independent Gaussian fields, a mixture of ranges each.

    A field is the sum of white noise averaged over the neighbours ``LEVELS`` times, from rough to
    smooth, each scaled to unit variance at every spot and then centred. The cost is linear in the
    number of spots.

    Parameters
    ----------
    smoother
        The slide, N spots.
    shares
        Variance of each level in each field, shape (levels, fields).
    kept
        How much of its mean over the slide each level keeps, shape (levels,); 1 is all.
    rng
        Where noise comes from.

    Returns
    -------
    Shape (N, fields).
    """
    shape = (smoother.n_spots, shares.shape[1])
    fields, weights = np.zeros(shape, dtype=np.float32), np.sqrt(shares).astype(np.float32)
    for level, weight in enumerate(weights):
        noise = rng.standard_normal(shape, dtype=np.float32)
        fields += weight * centre(smoother.smooth(noise, level), float(kept[level]))
    return fields


def fit_shares(
    smoothers: list[Smoother], fields: list[np.ndarray], *, pooled: bool = False
) -> np.ndarray:
    """Recognise the ranges of fields by the method of moments.

    Parameters
    ----------
    smoothers, fields
        The slides, and fields (N, F) on each, whose means do not matter.
    pooled
        Whether all fields have the same ranges. Moments are averaged before shares are made of
        them, which are at least 0 and so, of each field alone, err on the side of more ranges.

    Returns
    -------
    Shares as `draw_fields` takes them, shape (levels, F), or (levels, 1), that sum to 1.
    """
    sizes = np.array([each.n_spots for each in smoothers], dtype=np.float64)
    pairs = zip(smoothers, fields, strict=True)
    found = np.average([slide.likeness(centre(each, 0)) for slide, each in pairs], 0, sizes)
    found = found.mean(1, keepdims=True) if pooled else found
    expected = np.average([slide.expected for slide in smoothers], 0, sizes)
    shares = np.stack([nnls(expected, column)[0] for column in found.T], axis=1)
    shares[0, shares.sum(0) == 0] = 1
    return shares / shares.sum(0)
