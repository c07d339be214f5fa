"""Boundary: the layers of a table, and which of them may be the raw counts looked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from stflow._validation import listing

LOOKED_AT = 500
TAKE = "`table.layers['counts'] = table.raw[:, table.var_names].X`"


def layer_names(table: AnnData) -> list[str]:
    """Names of a table's layers, without X, which anndata 0.13 calls a layer named None."""
    return [name for name in table.layers if name is not None]


def counts_hint(table: AnnData) -> str:
    """Say which part of a table looks like raw counts, and how to name it."""
    layers = [name for name in layer_names(table) if name not in table.obsm]  # no predictions
    found = [name for name in layers if looks_raw(table.layers[name])]
    if found:
        return f"What looks like raw counts is in layers {listing(found)}; name one with `layer=`."
    if looks_raw(table.X):
        return "What looks like raw counts is in X; leave out `layer=`."
    if table.raw is None or not looks_raw(table.raw.X):
        return f"Name the layer that holds raw counts with `layer=`; layers: {listing(layers)}."
    lost = int((~table.var_names.isin(table.raw.var_names)).sum())
    first = f"leave out the {lost} genes that it lacks, then " if lost else ""
    return (
        f"What looks like raw counts is in `.raw`: {first}put it into a layer, {TAKE}, and name "
        "that with `layer='counts'`."
    )


def looks_raw(matrix: Any) -> bool:
    """Whether the first rows of a matrix are whole numbers, some of them above zero."""
    if matrix is None or 0 in matrix.shape:
        return False
    rows = matrix[:LOOKED_AT]
    rows = rows.compute() if hasattr(rows, "compute") else rows
    values = rows.data if sp.issparse(rows) else np.asarray(rows)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return False
    return bool((values >= 0).all() and (values > 0).any() and (values == np.round(values)).all())
