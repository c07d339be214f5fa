"""Boundary: places on a lattice, and those of them that lie in a geometry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import numpy as np
import shapely

Lattice: TypeAlias = Literal["hex", "square"]
LATTICES: tuple[Lattice, ...] = get_args(Lattice)
AT_ONCE = 1_000_000


def cell_area(pitch: float, lattice: str) -> float:
    """Area that belongs to one place of a lattice."""
    return pitch**2 * (np.sqrt(0.75) if lattice == "hex" else 1.0)


def places_inside(
    area: shapely.Geometry, pitch: float, *, lattice: str, origin: np.ndarray
) -> np.ndarray:
    """Find the places of a lattice that lie inside a geometry.

    Parameters
    ----------
    area
        Polygons.
    pitch
        Distance between neighbours, in units of the geometry.
    lattice
        ``"square"``, or ``"hex"`` with rows along x of which every other one is shifted by half.
    origin
        One place of the lattice, shape (2,).

    Returns
    -------
    Places row by row, x then y, shape (N, 2).
    """
    shapely.prepare(area)
    bounds = np.array(area.bounds) - np.tile(origin, 2)
    strips = (strip + origin for strip in _strips(bounds, pitch, lattice))
    inside = [points[shapely.contains_xy(area, points)] for points in strips]
    return np.concatenate([np.empty((0, 2)), *inside])


def _strips(bounds: np.ndarray, pitch: float, lattice: str) -> Iterator[np.ndarray]:
    """Places around the origin in a box, some rows of them at a time."""
    x0, y0, x1, y1 = bounds
    height = cell_area(pitch, lattice) / pitch
    columns = np.arange(np.floor(x0 / pitch) - 1, np.ceil(x1 / pitch) + 1)
    rows = np.arange(np.ceil(y0 / height), np.floor(y1 / height) + 1)
    n_rows = max(1, AT_ONCE // len(columns))
    for first in range(0, len(rows), n_rows):
        row, column = np.meshgrid(rows[first : first + n_rows], columns, indexing="ij")
        shift = row % 2 / 2 if lattice == "hex" else 0.0
        yield np.column_stack([((column + shift) * pitch).ravel(), (row * height).ravel()])
