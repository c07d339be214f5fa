"""Boundary: which table, which rows belong to which slide, where their spots lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeGuard

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import TableModel, get_table_keys

from stflow import _keys
from stflow._sdata._annotated import annotated_shapes
from stflow._sdata._elements import put
from stflow._sdata._lazy import read_annotations
from stflow._sdata._mended import centroids
from stflow._sdata._samples import require_one_sample
from stflow._validation import listing, require_key, require_unique

NAME_IT = "Name it with `table_key=`."
LAY_IT = "Lay spots over the tissue with `stf.pp.grid(sdata)` first."


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The rows of a table that annotate one element, hence one slide.

    Parameters
    ----------
    name
        Name of the element, or ``""`` for a table that annotates none.
    rows
        Positions of the region's rows in the table, shape (N,).
    instances
        Index of each row's spot in the element, shape (N,).
    """

    name: str
    rows: np.ndarray
    instances: np.ndarray


def require_sdata(data: Any) -> None:
    """Raise ``TypeError`` where something else comes in place of a SpatialData."""
    if not isinstance(data, SpatialData):
        raise TypeError(f"Expected SpatialData, not {type(data).__name__}.")


def get_table(data: SpatialData | AnnData, table_key: str, *, name: str = "") -> AnnData:
    """Return the table itself (not a copy), checked for spots and unique names.

    One that was read lazily has its annotations in memory from then on.

    Parameters
    ----------
    data, table_key
        Where it is.
    name
        What messages call ``data``, one of several; ``""`` for the only one.

    Raises
    ------
    KeyError
        There is no such table.
    TypeError
        ``data`` is something else.
    ValueError
        It has no spots, or two spots or genes share a name.
    """
    if isinstance(data, AnnData):
        table = data
    elif isinstance(data, SpatialData):
        what = f"table in {name}:" if name else "table"
        require_key(table_key, data.tables, what=what, hint=NAME_IT if data.tables else LAY_IT)
        table = data.tables[table_key]
    else:
        way_out = " Call it for each slide." if isinstance(data, Mapping) else ""
        if isinstance(data, str | PathLike):
            way_out = " Read it first, as with `spatialdata.read_zarr`."
        raise TypeError(f"Expected SpatialData or AnnData, not {type(data).__name__}.{way_out}")
    read_annotations(table)
    of = f" of {name}" if name else ""
    if table.n_obs == 0:
        raise ValueError(f"Table {table_key!r}{of} has no spots.")
    require_unique(list(table.obs_names), what=f"spot names{of}")
    require_unique(list(table.var_names), what=f"gene names{of}")
    return table


def put_table(data: SpatialData | AnnData, table_key: str, table: AnnData) -> None:
    """Put a table in its place, once it is known to be a valid one, unless it is there already."""
    if isinstance(data, SpatialData) and data.tables.get(table_key) is not table:
        TableModel().validate(table)
        put(data, table_key, "tables", table)


def get_regions(table: AnnData, *, shapes_key: str | None = None) -> list[Region]:
    """Split the rows of a table by the element that they annotate.

    Raises
    ------
    KeyError
        The table annotates no element called ``shapes_key``.
    ValueError
        Some rows annotate no element.
    """
    if TableModel.ATTRS_KEY not in table.uns:
        if shapes_key is not None:
            raise KeyError(f"The table annotates no element, so not {shapes_key!r} either.")
        rows = np.arange(table.n_obs)
        return [Region("", rows, rows)]
    _, region_key, instance_key = get_table_keys(table)
    labels = table.obs[region_key].to_numpy()
    nowhere = int(table.obs[region_key].isna().sum())
    if nowhere:
        raise ValueError(
            f"{nowhere} rows of the table annotate no element: their .obs[{region_key!r}] is NaN. "
            f"Leave them out, with `table[table.obs[{region_key!r}].notna()]`."
        )
    names = list(dict.fromkeys(labels))
    if shapes_key is not None:
        require_key(shapes_key, names, what="annotated element")
        names = [shapes_key]
    instances = table.obs[instance_key].to_numpy()
    found = [(str(name), np.flatnonzero(labels == name)) for name in names]
    return [Region(name, rows, instances[rows]) for name, rows in found]


def get_region(table: AnnData, shapes_key: str | None) -> Region:
    """Return the region called ``shapes_key``, or the only one.

    Raises
    ------
    KeyError
        There is no such region, or several and no name.
    ValueError
        Some rows of the table annotate no element.
    """
    regions = get_regions(table, shapes_key=shapes_key)
    if len(regions) > 1:
        names = [region.name for region in regions]
        raise KeyError(f"Pass `shapes_key=`, one of the annotated elements: {listing(names)}.")
    return regions[0]


def slide_names(name: str, regions: Sequence[Region]) -> list[str]:
    """Call the slides of a table: by its name where it has one region, else ``name/region``."""
    return [name] if len(regions) == 1 else [f"{name}/{region.name}" for region in regions]


def lies_on_element(data: SpatialData | AnnData, region: Region) -> TypeGuard[SpatialData]:
    """Whether spots are those of an element, not rows of a table alone."""
    return isinstance(data, SpatialData) and region.name != ""


def require_element(region: Region) -> None:
    """Raise ``ValueError`` where spots are rows of a table alone, so that they lie on no image."""
    if not region.name:
        raise ValueError(
            "The table annotates no element, so its spots lie on no image; relate it to shapes "
            "with spatialdata.models.TableModel.parse."
        )


def spot_centres(data: SpatialData | AnnData, table: AnnData, region: Region) -> np.ndarray:
    """Centres of a region's spots in the element's own coordinates, shape (N, 2).

    They are centroids by area, and of labels those of their pixels. A table alone is read from
    ``.obsm["spatial"]``.

    Raises
    ------
    KeyError
        The element, or the position of some spots, is missing.
    ValueError
        A position is not finite, two spots of the element share a name, it is neither shapes nor
        labels, or the spots are of several samples that lie on each other.
    """
    on_element = lies_on_element(data, region)
    if not on_element:
        hint = "Put the spot centres there, or pass a SpatialData with spots."
        require_key(_keys.SPATIAL, table.obsm, what="obsm key", hint=hint)
        centres = np.asarray(table.obsm[_keys.SPATIAL], dtype=np.float64)[region.rows, :2]
    else:
        centres = centroids(
            annotated_shapes(data, region.name, region.instances).geometry.to_numpy()
        )
    lost = int((~np.isfinite(centres)).any(axis=1).sum())
    if lost:
        raise ValueError(
            f"{lost} spot centres of {region.name or 'the table'!r} are not finite. Empty outlines "
            "have none; `stf.pp.grid(sdata, shapes_key=...)` leaves them out."
        )
    require_one_sample(table, region.rows, centres, region=region.name if on_element else "")
    return centres
