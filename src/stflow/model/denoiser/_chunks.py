"""A slide cut into chunks of neighbouring spots. Arrays in, tensors out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor

from stflow.model.denoiser._graph import SpotGraph, spot_graph
from stflow.slide import neighbour_distance


def spatial_order(adjacency: sp.csr_matrix, chunk_size: int) -> Tensor:
    """Order in which the neighbours of consecutive spots are few and near, shape (N,)."""
    n_spots = adjacency.shape[0]
    if n_spots <= chunk_size:
        return torch.arange(n_spots)
    order = reverse_cuthill_mckee(sp.csr_matrix(adjacency))
    return torch.from_numpy(order.astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some consecutive spots, and the stretch of spots that holds all their neighbours.

    Parameters
    ----------
    rows, reach
        The two stretches.
    graph
        Edges of ``rows``; sources count from the start of ``reach``.
    """

    rows: slice
    reach: slice
    graph: SpotGraph


def cut(coords: np.ndarray, adjacency: sp.csr_matrix, size: int) -> list[Chunk]:
    """Cut a slide, whose spots are ordered so that neighbours are near, into chunks."""
    unit = neighbour_distance(coords, adjacency)
    chunks = []
    for first in range(0, coords.shape[0], size):
        rows = slice(first, min(first + size, coords.shape[0]))
        graph = spot_graph(coords, adjacency, unit, rows)
        heard = graph.source if len(graph.source) else torch.tensor([first])
        low, high = int(heard.min()), int(heard.max())
        graph = graph._replace(source=graph.source - low)
        chunks.append(Chunk(rows, slice(low, high + 1), graph))
    return chunks
