"""Where the spots of an array lie, as Space Ranger writes it, and counts that get their places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._validation import listing, require_unique, warn
from stflow.io._outputs import open_text, reading

# The order of the columns in a file without a header, and what headers call them.
COLUMNS = {
    "barcode": ("barcode", "barcodes"),
    "in_tissue": ("in_tissue", "tissue"),
    "array_row": ("array_row", "row"),
    "array_col": ("array_col", "col"),
    "y": ("pxl_row_in_fullres", "imagerow"),
    "x": ("pxl_col_in_fullres", "imagecol"),
}
PLACES = _keys.ARRAY


def read_positions(path: Path) -> pd.DataFrame:
    """Read ``in_tissue``, ``array_row``, ``array_col``, ``y`` and ``x`` in pixels, by barcode.

    Parameters
    ----------
    path
        Table with or without a header, or Parquet.

    Raises
    ------
    ValueError
        The file is damaged, lacks a column or names a spot twice.
    """
    with reading(path, "positions of spots"):
        raw = pd.read_parquet(path) if path.suffix == ".parquet" else _read_text(path)
    named = {str(column).strip().lower(): column for column in raw.columns}
    taken = {
        ours: next((named[each] for each in theirs if each in named), None)
        for ours, theirs in COLUMNS.items()
    }
    if None in taken.values():
        raise ValueError(
            f"{path} has the columns {listing(raw.columns)}; expected: "
            f"{listing(names[0] for names in COLUMNS.values())}, or these six in this order and "
            "no header. Rename them."
        )
    places = raw[list(taken.values())].set_axis(list(taken), axis=1)
    places = places.set_index(places.pop("barcode").astype(str))
    if not places.index.is_unique:  # millions of names on Visium HD
        require_unique(list(places.index), what=f"barcodes in {path}")
    return places.apply(pd.to_numeric, errors="coerce")


def place(table: AnnData, positions: pd.DataFrame, *, path: Path) -> AnnData:
    """Give spots their places, and keep those under tissue.

    Parameters
    ----------
    table
        Counts.
    positions
        As :func:`read_positions` gives them.
    path
        Where these came from.

    Returns
    -------
    The counts, with places on the array in ``.obs`` and centres in pixels of the full-resolution
    image in ``.obsm["spatial"]``.

    Raises
    ------
    ValueError
        No spot lies under tissue, or more than half of them have no place of their own.

    Warns
    -----
    UserWarning
        Spots that have none are left out.
    """
    found = positions.reindex(table.obs_names)
    outside = (found["in_tissue"] == 0).to_numpy()
    if outside.all():
        raise ValueError(f"No spot lies under tissue: {path} says `in_tissue` 0 for all of them.")
    table, found = table[~outside], found[~outside]
    lost = ~np.isfinite(found.to_numpy(np.float64)).all(axis=1)
    twice = ~lost & found[["x", "y"]].duplicated().to_numpy()
    example = listing(positions.index[:1])
    table = leave_out(
        table,
        {"no position": lost, "the place of another one": twice},
        what="spots",
        path=path,
        hint=f"Are these the positions of these counts? It names spots like {example}.",
    )
    found = positions.loc[table.obs_names]
    table.obs = found[["in_tissue", *PLACES]].set_axis(table.obs_names)
    table.obsm[_keys.SPATIAL] = found[["x", "y"]].to_numpy(np.float64)
    return table


def leave_out(
    table: AnnData, bad: Mapping[str, np.ndarray], *, what: str, path: Path, hint: str = ""
) -> AnnData:
    """Leave out rows that have no place of their own, so that the rest can be used.

    Parameters
    ----------
    table
        Counts.
    bad
        By what is the matter, which rows, shape (N,).
    what
        What messages call a row.
    path
        Where it says so.
    hint
        What to say where most are bad.

    Raises
    ------
    ValueError
        More than half of the rows are bad.

    Warns
    -----
    UserWarning
        Some rows are left out.
    """
    kept = ~np.logical_or.reduce(list(bad.values()))
    if kept.all():
        return table.copy()
    told = "; ".join(
        f"{reason}: {listing(table.obs_names[rows], limit=3)}"
        for reason, rows in bad.items()
        if rows.any()
    )
    n_bad = f"{table.n_obs - kept.sum()} of {table.n_obs} {what}"
    if kept.mean() < 0.5:
        raise ValueError(f"{n_bad} cannot be placed by {path}: {told}. {hint}".rstrip())
    warn(f"{n_bad} are left out, for {path} says of them: {told}.")
    return table[kept].copy()


def _read_text(path: Path) -> pd.DataFrame:
    with open_text(path) as file:
        rows = pd.read_csv(file, header=None, dtype=str, encoding="utf-8-sig")
    first = rows.iloc[0]
    if pd.to_numeric(first[1:], errors="coerce").isna().any():
        return rows.iloc[1:].set_axis(list(first), axis=1)
    if len(first) != len(COLUMNS):
        return rows
    return rows.set_axis([names[0] for names in COLUMNS.values()], axis=1)
