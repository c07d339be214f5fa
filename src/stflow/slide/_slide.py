"""What the model knows of a slide: arrays, no SpatialData."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from stflow._units import Units


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
        Image embedding of each spot's tile, shape (N, F); any array that gives its rows when
        sliced, such as a memory map or a zarr array, and is read block by block.
    expression
        Measured expression in ``units``, shape (N, G), or None when unknown.
    genes
        Names of the G columns of ``expression``.
    rows
        The rows of the user's table that these spots are, shape (N,).
    tiles
        RGB pixels of each spot's tile, uint8, shape (N, H, W, 3), or None where nobody asked for
        them; any array that gives its rows when indexed by rising numbers.
    units
        ``"cp10k"`` for log1p of counts per 10,000 of a spot's total, ``"counts"`` for log1p of
        raw counts.
    totals
        Counts of each spot over all genes, shape (N,), or None when unknown.
    auxiliary
        Expression of A genes beside the panel, shape (N, A), which training may learn from, or
        None.
    patient
        Whose tissue it is, None where unknown; slides of a patient are left out of training
        together.
    """

    name: str
    coords: np.ndarray
    graph: sp.csr_matrix
    embedding: Any
    rows: np.ndarray
    expression: np.ndarray | None = None
    genes: tuple[str, ...] = ()
    tiles: Any | None = None
    units: Units = "cp10k"
    totals: np.ndarray | None = None
    auxiliary: np.ndarray | None = None
    patient: str | None = None

    def __post_init__(self) -> None:
        n_spots = len(self.coords)
        shapes = {
            "coords": (self.coords.shape, (n_spots, 2)),
            "graph": (self.graph.shape, (n_spots, n_spots)),
            "embedding": (tuple(self.embedding.shape), (n_spots, *self.embedding.shape[1:2])),
            "rows": (self.rows.shape, (n_spots,)),
        }
        if self.expression is not None:
            shapes["expression"] = (self.expression.shape, (n_spots, len(self.genes)))
        if self.totals is not None:
            shapes["totals"] = (self.totals.shape, (n_spots,))
        if self.auxiliary is not None:
            shapes["auxiliary"] = (self.auxiliary.shape, (n_spots, *self.auxiliary.shape[1:2]))
        if self.tiles is not None:
            shapes["tiles"] = (tuple(self.tiles.shape), (n_spots, *self.tiles.shape[1:3], 3))
        for what, (shape, expected) in shapes.items():
            if shape != expected:
                raise ValueError(f"`{what}` of {self.name} has shape {shape}, not {expected}.")

    @property
    def n_spots(self) -> int:
        """Number of spots N."""
        return self.coords.shape[0]
