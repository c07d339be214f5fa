"""What the model knows of a slide: arrays, no SpatialData."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """The spots of one slide, as arrays.

    Parameters
    ----------
    name
        What messages call the slide.
    coords
        Spot centres, shape (N, 2). The model divides them by the neighbour distance, so any
        length unit gives the same answer.
    graph
        Neighbours of each spot, shape (N, N); a stored entry (i, j) makes j a neighbour of i.
    embedding
        Image embedding of each spot's tile, shape (N, F).
    expression
        Measured expression in log1p counts, shape (N, G), or None when unknown.
    genes
        Names of the G columns of ``expression``.
    rows
        The rows of the user's table that these spots are, shape (N,).
    """

    name: str
    coords: np.ndarray
    graph: sp.csr_matrix
    embedding: np.ndarray
    rows: np.ndarray
    expression: np.ndarray | None = None
    genes: tuple[str, ...] = ()

    @property
    def n_spots(self) -> int:
        """Number of spots N."""
        return self.coords.shape[0]
