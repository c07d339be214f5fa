"""Cells and their outlines: each a spot with a place and an area of its own, and its nucleus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from anndata import AnnData

from stflow import _keys
from stflow._sdata import mend, outlines
from stflow._validation import listing, warn
from stflow.io._positions import leave_out

NUCLEI = "nuclei"
CELL_AREA, NUCLEUS_AREA = "cell_area", "nucleus_area"


def place_outlines(
    table: AnnData, cells: pd.Series, *, path: Path
) -> tuple[AnnData, gpd.GeoDataFrame]:
    """Keep the cells that have an outline, and give them its centroid.

    Parameters
    ----------
    table
        Counts.
    cells
        Outlines in pixels, by the names of the cells.
    path
        Where these came from.

    Returns
    -------
    The counts, with centroids in ``.obsm["spatial"]``, and the outlines as shapes, row by row.

    Raises
    ------
    ValueError
        More than half of the cells have no outline with an area.

    Warns
    -----
    UserWarning
        Cells that have none are left out; outlines that cross themselves are mended.
    """
    at = cells.index.get_indexer(table.obs_names)
    lost = at < 0
    found = np.full(table.n_obs, None, dtype=object)
    found[~lost] = cells.to_numpy(object)[at[~lost]]
    whole = mend(found, list(table.obs_names), what=f"cells in {path}")
    empty = shapely.is_empty(whole)
    centres = shapely.get_coordinates(shapely.centroid(whole[~empty]))
    twice = np.zeros(len(whole), bool)
    twice[~empty] = pd.DataFrame(centres).duplicated()
    bad = {"no outline": lost, "no area": empty & ~lost, "the centroid of another one": twice}
    hint = f"Are these the cells of these counts? It names cells like {listing(cells.index[:1])}."
    table = leave_out(table, bad, what="cells", path=path, hint=hint)
    table.obsm[_keys.SPATIAL] = centres[~twice[~empty]]
    return table, outlines(whole[~empty & ~twice], list(table.obs_names))


def nuclei_of(table: AnnData, nuclei: pd.Series, *, path: Path) -> gpd.GeoDataFrame | None:
    """Make shapes of the nuclei of cells, None where there are none.

    Parameters
    ----------
    table
        The cells that are kept.
    nuclei
        Outlines in pixels, by the names of the cells.
    path
        Where these came from.

    Warns
    -----
    UserWarning
        Some have no area and are left out; some cross themselves and are mended.
    """
    held = nuclei[nuclei.index.isin(table.obs_names)]
    what = f"nuclei in {path}"
    whole = mend(held.to_numpy(object), list(held.index), what=what)
    kept = ~shapely.is_empty(whole)
    if not kept.all():
        told = listing(held.index[~kept], limit=3)
        warn(f"{(~kept).sum()} of {len(held)} {what} have no area and are left out: {told}.")
    return outlines(whole[kept], list(held.index[kept])) if kept.any() else None


def moved_by(polygons: pd.Series, move: Callable[[np.ndarray], np.ndarray]) -> pd.Series:
    """Move outlines, all points of shape (N, 2) at once."""
    moved = shapely.transform(polygons.to_numpy(object), move)
    return pd.Series(list(moved), index=polygons.index, dtype=object)
