"""Spots on their lattice, and convolutions over it. Arrays and tensors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from stflow.slide import neighbour_distance

LEAST_STEP, LONGEST_EDGE = 0.3, 1.2
SIDE = 5


class Lattice(NamedTuple):
    """Cells that hold spots, and which are beside each other.

    Parameters
    ----------
    cell
        The cell of each spot, of C cells; shape (N,).
    beside
        The 25 cells of the square around each cell, column by column, where C says that there
        is none; shape (25, C).
    occupancy
        Spots in each cell, shape (C,).
    """

    cell: Tensor
    beside: Tensor
    occupancy: Tensor


def lattice_cells(coords: np.ndarray, graph: sp.csr_matrix) -> np.ndarray:
    """Round the centres of spots to the rows and columns of their lattice, however it is turned.

    Rows and columns are as far apart as neighbours are along each axis of the lattice, so spots of
    a square one are one column apart, and those of a hexagonal one two columns, or one row and one
    column.

    Parameters
    ----------
    coords
        Spot centres, shape (N, 2).
    graph
        Neighbours of each spot, shape (N, N).

    Returns
    -------
    Whole numbers, shape (N, 2).
    """
    unit = neighbour_distance(coords, graph)
    edges = graph.tocoo()
    steps = (coords[edges.row] - coords[edges.col]) / unit
    steps = steps[np.linalg.norm(steps, axis=1) < LONGEST_EDGE]
    turn = _turn(steps)
    steps, coords = np.abs(steps @ turn), coords @ turn
    pitch = unit * np.array([_least(along) for along in steps.T])
    return np.rint((coords - coords.min(0)) / pitch).astype(np.int64)


def _turn(steps: np.ndarray) -> np.ndarray:
    """Find the rotation (2, 2) that lays steps between neighbours, shape (E, 2), along an axis.

    Angles of neighbours are alike modulo a quarter of a turn on a square lattice, modulo a sixth
    on a hexagonal one.
    """
    if not len(steps):
        return np.eye(2)
    directions = steps @ [1, 1j] / np.linalg.norm(steps, axis=1)
    folds, mean = max(
        ((n, np.mean(directions**n)) for n in (4, 6)), key=lambda found: abs(found[1])
    )
    angle = np.angle(mean) / folds
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _least(steps: np.ndarray) -> float:
    """Median of the steps that are alike to the least one, without those that are none."""
    steps = steps[steps > LEAST_STEP]
    return float(np.median(steps[steps < 1.5 * np.quantile(steps, 0.05)])) if len(steps) else 1.0


def surroundings(cells: np.ndarray, device: torch.device) -> Lattice:
    """Find the cells beside each cell that holds a spot.

    Parameters
    ----------
    cells
        Column and row of each spot, shape (N, 2).
    device
        Where the answer goes.
    """
    reach = SIDE // 2
    low = cells.min(0) - reach
    n_rows = int(cells[:, 1].max() - low[1]) + reach + 1
    keys = (cells[:, 0] - low[0]) * n_rows + cells[:, 1] - low[1]
    held, cell, count = np.unique(keys, return_inverse=True, return_counts=True)
    span = range(-reach, reach + 1)
    shifts = [dx * n_rows + dy for dx in span for dy in span]
    beside = np.empty((len(shifts), len(held)), dtype=np.int64)
    for row, shift in zip(beside, shifts, strict=True):
        at = np.searchsorted(held, held + shift)
        there = held[np.minimum(at, len(held) - 1)] == held + shift
        row[:] = np.where(there, at, len(held))
    parts = (cell.reshape(-1), beside, count.astype(np.float32))
    return Lattice(*(torch.from_numpy(part).to(device) for part in parts))


class LatticeConvolution(nn.Module):
    """A convolution of 5 x 5 cells within each channel; what holds no spot is zero.

    Computed where spots are, so its cost does not grow with the holes between them. Spots in
    the same cell are averaged.

    Parameters
    ----------
    width
        Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(SIDE**2, width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.uniform_(self.weight, -1 / SIDE, 1 / SIDE)

    def forward(self, states: Tensor, lattice: Lattice) -> Tensor:
        """Convolve states (N, width) of spots."""
        n_cells = lattice.occupancy.shape[0]
        scaled = states / lattice.occupancy.index_select(0, lattice.cell)[:, None]
        held = states.new_zeros(n_cells + 1, states.shape[1]).index_add(0, lattice.cell, scaled)
        taps = zip(self.weight, lattice.beside, strict=True)
        convolved = sum((held.index_select(0, cells) * weight for weight, cells in taps), self.bias)
        return convolved.index_select(0, lattice.cell)
