"""Edges between neighbouring spots and their frames: everything that depends on neither Y nor t."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from stflow.slide import edges, neighbour_distance


class SpotGraph(NamedTuple):
    """Directed edges of one or several slides, sorted by the spot that listens; no padding.

    Parameters
    ----------
    target, source
        Spot i that attends and its neighbour j, each of shape (E,).
    offsets
        The edges of spot i are ``offsets[i]`` to ``offsets[i + 1]``, shape (N + 1,).
    geometry
        ``c_ij`` on the two principal axes of i's neighbourhood, and its length, in units of the
        neighbour distance; shape (E, 3).
    """

    target: Tensor
    source: Tensor
    offsets: Tensor
    geometry: Tensor

    @property
    def n_spots(self) -> int:
        """Number of spots N that listen."""
        return self.offsets.shape[0] - 1

    def to(self, device: torch.device) -> SpotGraph:
        """Return the same graph on another device."""
        return SpotGraph(*(tensor.to(device) for tensor in self))


def spot_graph(
    coords: np.ndarray,
    graph: sp.csr_matrix,
    unit: float | None = None,
    rows: slice = slice(None),
) -> SpotGraph:
    """Edges of one slide with the geometry that the denoiser reads.

    Parameters
    ----------
    coords
        Spot centres, shape (N, 2).
    graph
        Stored entries (i, j) make j a neighbour of i, shape (N, N).
    unit
        Neighbour distance in the units of ``coords``; None is that of these spots.
    rows
        The spots that listen; their neighbours may be any.
    """
    unit = neighbour_distance(coords, graph) if unit is None else unit
    first, last, _ = rows.indices(coords.shape[0])
    target, source = edges(graph[rows], first)
    directions = (coords[source] - coords[rows][target]) / unit
    along = on_principal_axes(directions, target, last - first)
    geometry = np.column_stack([along, np.linalg.norm(directions, axis=1)])
    offsets = np.searchsorted(target, np.arange(last - first + 1))
    return SpotGraph(
        torch.from_numpy(target.astype(np.int64)),
        torch.from_numpy(source.astype(np.int64)),
        torch.from_numpy(offsets.astype(np.int64)),
        torch.from_numpy(geometry.astype(np.float32)),
    )


def on_principal_axes(directions: np.ndarray, target: np.ndarray, n_spots: int) -> np.ndarray:
    """Project each direction on the principal axes of its spot's neighbourhood, shape (E, 2).

    The 2 x 2 covariance is diagonalised in closed form. Around a spot of a regular lattice it is
    isotropic and the axes are noise, so the projection is multiplied by the normalised gap
    ``(l1 - l2) / (l1 + l2)`` of the eigenvalues: where the axes mean nothing they carry nothing,
    and what is left varies smoothly with the coordinates.
    """

    def mean(values: np.ndarray) -> np.ndarray:
        degree = np.maximum(np.bincount(target, minlength=n_spots), 1)
        return np.bincount(target, values, n_spots) / degree

    x, y = directions.T
    centred_x, centred_y = x - mean(x)[target], y - mean(y)[target]
    xx, yy, xy = mean(centred_x**2), mean(centred_y**2), mean(centred_x * centred_y)
    angle = np.arctan2(2 * xy, xx - yy) / 2
    total = xx + yy
    spread = np.hypot(xx - yy, 2 * xy)
    gap = np.divide(spread, total, out=np.zeros_like(total), where=total > 0)
    cos, sin, gap = np.cos(angle)[target], np.sin(angle)[target], gap[target]
    return np.column_stack([gap * (cos * x + sin * y), gap * (cos * y - sin * x)])


def join(graphs: list[SpotGraph]) -> SpotGraph:
    """Put several graphs side by side, without an edge between them."""
    spots = np.cumsum([0, *(graph.n_spots for graph in graphs)]).tolist()
    edges = np.cumsum([0, *(graph.source.shape[0] for graph in graphs)]).tolist()
    pairs = list(zip(graphs, spots[:-1], edges[:-1], strict=True))
    return SpotGraph(
        torch.cat([graph.target + spot for graph, spot, _ in pairs]),
        torch.cat([graph.source + spot for graph, spot, _ in pairs]),
        torch.cat([torch.tensor([0]), *(graph.offsets[1:] + edge for graph, _, edge in pairs)]),
        torch.cat([graph.geometry for graph in graphs]),
    )
