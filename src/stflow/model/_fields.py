"""Random fields over the spots of a slide, drawn and recognised with its graph. Arrays only."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.optimize import nnls

LEVELS = (0, 1, 4, 16)
LAGS = (1, 2, 4, 8)
PROBES = 32


def smoother(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Matrix (N, N) that averages each spot with its neighbours."""
    weights = sp.csr_matrix(graph, dtype=np.float32, copy=True)
    weights.data[:] = 1
    weights.setdiag(1)
    weights.data /= np.repeat(weights.getnnz(1), weights.getnnz(1))
    return weights


def draw_fields(graph: sp.csr_matrix, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw independent Gaussian fields of unit variance, a mixture of ranges each.

    A field is the sum of white noise averaged over the neighbours ``LEVELS`` times, from rough to
    smooth, and of a constant. The cost is linear in the number of spots.

    Parameters
    ----------
    graph
        Neighbours of each spot, shape (N, N).
    shares
        Variance of each level, and of the constant, in each field; shape (levels + 1, fields).
    rng
        Where noise comes from.

    Returns
    -------
    Shape (N, fields).
    """
    average, shape = smoother(graph), (graph.shape[0], shares.shape[1])
    spread = level_spread(average)
    fields = np.zeros(shape, dtype=np.float32)
    for i in reversed(range(len(LEVELS))):
        weight = np.sqrt(shares[i]) / spread[i]
        fields += weight.astype(np.float32) * rng.standard_normal(shape, dtype=np.float32)
        for _ in range(LEVELS[i] - LEVELS[i - 1] if i else 0):
            fields = average @ fields
    constant = np.sqrt(shares[-1]) * rng.standard_normal(shares.shape[1])
    return fields + constant.astype(np.float32)


def level_spread(average: sp.csr_matrix) -> np.ndarray:
    """Tell the standard deviation over a slide of white noise averaged ``LEVELS`` times."""
    noise = np.random.default_rng(0).standard_normal((average.shape[0], PROBES), dtype=np.float32)
    spread, done = [], 0
    for level in LEVELS:
        for _ in range(level - done):
            noise = average @ noise
        done = level
        spread.append(np.sqrt(np.mean(noise.astype(np.float64) ** 2)))
    return np.array(spread)


def _likeness(graph: sp.csr_matrix, fields: np.ndarray) -> np.ndarray:
    """Mean product of each field with itself, at several distances and anywhere."""
    average, moved, done = smoother(graph), fields, 0
    rows = [np.mean(fields**2, axis=0)]
    for lag in LAGS:
        for _ in range(lag - done):
            moved = average @ moved
        done = lag
        rows.append(np.mean(fields * moved, axis=0))
    return np.stack([*rows, np.mean(fields, axis=0) ** 2])


def fit_shares(graphs: list[sp.csr_matrix], fields: list[np.ndarray]) -> np.ndarray:
    """Recognise the ranges of fields by the method of moments.

    Parameters
    ----------
    graphs, fields
        Graph (N, N) and fields (N, F) of each slide.

    Returns
    -------
    Shares as `draw_fields` takes them, shape (levels + 1, F), that sum to 1.
    """
    sizes = np.array([len(each) for each in fields], dtype=np.float64)
    pairs = list(zip(graphs, fields, strict=True))
    found = np.average([_likeness(g, f.astype(np.float64)) for g, f in pairs], 0, sizes)
    basis = np.average([_basis(g) for g in graphs], 0, sizes)
    shares = np.stack([nnls(basis, column)[0] for column in found.T], axis=1)
    total = shares.sum(0)
    shares[0, total == 0] = 1
    return shares / shares.sum(0)


def _basis(graph: sp.csr_matrix) -> np.ndarray:
    """Expect `_likeness` of each level and of a constant, shape (lags + 2, levels + 1)."""
    rng, columns = np.random.default_rng(0), []
    for level in range(len(LEVELS)):
        shares = np.zeros((len(LEVELS) + 1, 4 * PROBES))
        shares[level] = 1
        fields = draw_fields(graph, shares, rng).astype(np.float64)
        columns.append(_likeness(graph, fields).mean(1))
    return np.stack([*columns, np.ones(len(LAGS) + 2)], axis=1)
