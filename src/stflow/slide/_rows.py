"""Rows of matrices in memory or not: read in blocks, picked, and how they vary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 8192


def row_blocks(matrix: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of a matrix, in memory or not, as float32 blocks that torch takes, with their place."""
    for first in range(0, matrix.shape[0], BLOCK):
        rows = slice(first, min(first + BLOCK, matrix.shape[0]))
        yield rows, np.require(matrix[rows], np.float32, "W")


@dataclass(frozen=True, slots=True, eq=False)
class PickedRows:
    """Some rows of an array, in memory or not, read when they are asked for.

    Parameters
    ----------
    source
        Any array that gives its rows when indexed by rising numbers, such as an HDF5 data set.
    rows
        Which of them these are, shape (N,).
    """

    source: Any
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, N first."""
        return (len(self.rows), *self.source.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.source.dtype

    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
        """Read rows."""
        wanted, place = np.unique(self.rows[at], return_inverse=True)
        return np.asarray(self.source[wanted])[place]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read all."""
        return np.asarray(self[:], dtype=dtype)


def deviations(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of columns (n, F); infinite for those that do not vary."""
    mean = matrix.mean(0, dtype=np.float64).astype(matrix.dtype)
    scale = np.sqrt(np.square(matrix - mean).mean(0, dtype=np.float64)).astype(matrix.dtype)
    scale[scale < 1e-6 * max(float(scale.max()), 1e-12)] = np.inf
    return mean, scale
