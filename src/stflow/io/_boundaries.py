"""Outlines of cells and nuclei, as the Xenium instrument writes them: a row for each corner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import shapely

from stflow._validation import listing
from stflow.io._outputs import open_text, reading

CORNER = ["vertex_x", "vertex_y"]
CELL, LABEL = "cell_id", "label_id"
LEAST_CORNERS = 4  # a triangle, whose first corner comes again at the end


def read_boundaries(path: Path) -> pd.Series:
    """Read outlines in the instrument's micrometres, by the names of the cells.

    Of a cell with several, such as nuclei, they are the pieces of one. Versions that do not number
    outlines run those of a cell into one that crosses itself, with both as its pieces once mended.

    Parameters
    ----------
    path
        Parquet, or text.

    Raises
    ------
    ValueError
        The file is damaged, or lacks a column.
    """
    with reading(path, "boundaries of Xenium"):
        if path.suffix == ".parquet":
            corners = pd.read_parquet(path)
        else:
            with open_text(path) as file:
                corners = pd.read_csv(file, dtype={CELL: str})
    missing = [each for each in (CELL, *CORNER) if each not in corners]
    if missing:
        raise ValueError(
            f"{path} has no column {listing(missing)}, only {listing(corners.columns)}."
        )
    codes, ids = pd.factorize(corners[CELL])
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in ids]
    labels = corners[LABEL].to_numpy() if LABEL in corners else codes
    another = (np.diff(codes) != 0) | (labels[1:] != labels[:-1])
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(codes)), bool), another]))
    points = corners[CORNER].to_numpy(np.float64)
    return _joined(_polygons(points, starts), codes[starts], names)


def _polygons(points: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Polygons of runs of corners; what is less than a triangle is empty."""
    sizes = np.diff(starts, append=len(points))
    enough = (sizes >= LEAST_CORNERS) & np.isfinite(np.add.reduceat(points.sum(axis=1), starts))
    of = np.repeat(np.arange(len(starts)), sizes)
    used = enough[of]
    found = np.full(len(starts), shapely.Polygon(), dtype=object)
    ranks = np.cumsum(enough) - 1
    found[enough] = shapely.polygons(shapely.linearrings(points[used], indices=ranks[of[used]]))
    return found


def _joined(polygons: np.ndarray, codes: np.ndarray, names: list[str]) -> pd.Series:
    """One outline for each name, of as many pieces as it has."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=len(names))
    found = np.empty(len(names), dtype=object)
    alone = counts[codes] == 1
    found[codes[alone]] = polygons[alone]
    pieces = order[~alone[order]]
    several, index = np.unique(codes[pieces], return_inverse=True)
    found[several] = shapely.multipolygons(polygons[pieces], indices=index)
    return pd.Series(found, index=names, dtype=object)
