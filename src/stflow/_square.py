"""The eight symmetries of the square. Pure tensors."""

from __future__ import annotations

import torch
from torch import Tensor

N_SYMMETRIES = 8


def turn(grid: Tensor, which: int, axes: tuple[int, int] = (-2, -1)) -> Tensor:
    """Apply a symmetry to two axes: mirror the second if it is 4 or more, then turn.

    Parameters
    ----------
    grid
        Square in ``axes``.
    which
        0 to 7; 0 leaves the grid as it is.
    axes
        Height and width.
    """
    return torch.rot90(grid.flip(axes[1]) if which >= 4 else grid, which % 4, axes)


def compositions() -> Tensor:
    """Tell which symmetry is h and then g undone, at [g, h], shape (8, 8)."""
    corner = torch.arange(4).view(2, 2)
    numbers = {tuple(turn(corner, g).flatten().tolist()): g for g in range(N_SYMMETRIES)}
    table = torch.empty(N_SYMMETRIES, N_SYMMETRIES, dtype=torch.long)
    for g in range(N_SYMMETRIES):
        for k in range(N_SYMMETRIES):
            table[g, numbers[tuple(turn(turn(corner, k), g).flatten().tolist())]] = k
    return table
