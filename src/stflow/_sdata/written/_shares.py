"""Boundary: how much of each spot lies on what is marked, as columns of a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import shapely
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._tables import get_regions
from stflow._sdata.places import covered_shares, marked_in_pixels, shapes_in_pixels
from stflow._validation import require_free


def require_new_shares(sdata: SpatialData, table_key: str, key: str, *, overwrite: bool) -> None:
    """Raise ``ValueError`` when shares called ``key`` would overwrite a column of a table."""
    if table_key in sdata.tables and not overwrite:
        taken = {name for name in sdata.tables[table_key].obs if _is_ours(name, key)}
        require_free([key, *taken], taken, what=f".obs of table {table_key!r}")


def _is_ours(name: str, key: str) -> bool:
    return name == key or name.startswith(_keys.artifact(key, ""))


def share_columns(
    spots: np.ndarray, key: str, cover: Mapping[str, shapely.Geometry], names: pd.Index
) -> pd.DataFrame:
    """Share of each spot, a polygon, on anything that is marked and on each kind of it."""
    together = shapely.union_all(list(cover.values()))
    columns = {key: covered_shares(spots, together)}
    for kind, where in cover.items():
        if kind:
            columns[_keys.artifact(key, kind)] = covered_shares(spots, where)
    return pd.DataFrame(columns, index=names)


def write_shares(sdata: SpatialData, table_key: str, key: str, *, image_key: str) -> None:
    """Write how much of each spot lies on what is marked on an image, where there is a table.

    Parameters
    ----------
    sdata, table_key
        Where the table is, whose ``.obs`` gets the columns.
    key
        Name of the shapes that are marked, and of the column over all kinds; those of each kind
        begin with it.
    image_key
        The image. Spots that share no coordinate system with it are NaN, as are those that are
        rows of a table alone.
    """
    if table_key not in sdata.tables:
        return
    cover = marked_in_pixels(sdata, key, image_key, what="key_added")
    table: AnnData = sdata.tables[table_key]
    old = [name for name in table.obs if _is_ours(name, key)]
    frames = []
    for region in get_regions(table):
        try:
            spots = shapes_in_pixels(sdata, region.name, region.instances, image_key)
        except (KeyError, ValueError):
            continue
        frames.append(share_columns(spots, key, cover, table.obs_names[region.rows]))
    columns = [key, *(_keys.artifact(key, kind) for kind in cover if kind)]
    found = pd.concat(frames) if frames else pd.DataFrame(columns=columns, dtype=float)
    for name in old:
        del table.obs[name]
    for name in columns:
        table.obs[name] = found[name].reindex(table.obs_names).to_numpy()
