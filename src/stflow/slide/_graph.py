"""The graph of a slide: nearest neighbours, their mean, their distance. Arrays only."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

TIE = 1e-3
LARGEST_RING = 12


def knn_graph(coords: np.ndarray, n_neighs: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Compute connectivities and distances of one slide, with every spot tied with the k-th.

    Parameters
    ----------
    coords
        Spot centres, shape (N, 2).
    n_neighs
        Number k of neighbours, capped at N - 1.
    """
    from squidpy.gr.neighbors import KNNBuilder

    n_spots = len(coords)
    k = min(n_neighs, n_spots - 1)
    if k < 1:
        return sp.csr_matrix((n_spots, n_spots)), sp.csr_matrix((n_spots, n_spots))
    asked = min(k + LARGEST_RING, n_spots - 1)
    _, distances = KNNBuilder(asked).build(coords)
    lengths = distances.data.reshape(n_spots, asked)
    reach = np.partition(lengths, k - 1, axis=1)[:, k - 1] * (1 + TIE)
    rows, nearest = np.nonzero(lengths <= reach[:, None])
    columns = distances.indices.reshape(n_spots, asked)[rows, nearest]
    shape = (n_spots, n_spots)
    ones = np.ones(len(rows), dtype=np.float32)
    return (
        sp.csr_matrix((ones, (rows, columns)), shape=shape),
        sp.csr_matrix((lengths[rows, nearest], (rows, columns)), shape=shape),
    )


def neighbour_weights(graph: sp.csr_matrix) -> sp.csr_matrix:
    """Matrix (N, N) whose product is the mean of the neighbours, or a lonely spot's own values."""
    weights = sp.csr_matrix(graph, dtype=np.float32, copy=True)
    weights.data[:] = 1
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights = sp.csr_matrix(weights + sp.diags((weights.getnnz(1) == 0).astype(np.float32)))
    weights.data /= np.repeat(weights.getnnz(1), weights.getnnz(1))
    return weights


def neighbour_mean(values: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Mean of each spot's neighbours, shape (N, F); its own values where it has none."""
    return neighbour_weights(graph) @ values


def edges(graph: sp.csr_matrix, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Each spot and its neighbours, sorted by the spot, without a spot as its own neighbour.

    Row 0 of the matrix is spot ``first``.
    """
    edges = sp.csr_matrix(graph).tocoo()
    others = edges.row + first != edges.col
    return edges.row[others], edges.col[others]


def neighbour_distance(coords: np.ndarray, graph: sp.csr_matrix) -> float:
    """Median distance from a spot to its nearest neighbour, 1 when nobody has one."""
    target, source = edges(graph)
    length = np.linalg.norm(coords[source] - coords[target], axis=1)
    nearest = np.full(coords.shape[0], np.inf)
    np.minimum.at(nearest, target, length)
    nearest = nearest[np.isfinite(nearest) & (nearest > 0)]
    return float(np.median(nearest)) if nearest.size else 1.0
