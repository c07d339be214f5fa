"""Boundary: predictions into a table, all of them or none."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import TableModel

from stflow import _keys
from stflow._validation import require_free

MAX_LAYER_BYTES = 2 * 1024**3


def require_room(table: AnnData, key: str, *, overwrite: bool) -> None:
    """Raise ``ValueError`` when a prediction called ``key`` would overwrite something."""
    if overwrite:
        return
    keys = [key, _keys.sd(key), _keys.samples(key), _keys.latent(key)]
    taken = {*table.obsm, *table.layers, *table.uns, *table.var.columns}
    require_free(keys, taken, what="The table")
    require_free([_keys.novelty(key)], table.obs.columns, what="The table's `obs`")


def with_panel(table: AnnData, genes: Sequence[str]) -> AnnData:
    """Return a table without genes as one whose ``var`` is the panel and whose X is None."""
    return AnnData(
        X=None,
        obs=table.obs,
        var=pd.DataFrame(index=pd.Index(genes, name=table.var_names.name)),
        uns=table.uns,
        obsm=dict(table.obsm),
        obsp=dict(table.obsp),
    )


def write_predictions(
    table: AnnData,
    key: str,
    genes: Sequence[str],
    *,
    mean: np.ndarray,
    sd: np.ndarray | None,
    latent: np.ndarray,
    novelty: np.ndarray,
    samples: np.ndarray | None,
    info: dict[str, Any],
) -> None:
    """Write what a model predicts for all spots of a table.

    Parameters
    ----------
    table
        Where to write.
    key, genes
        Name of the prediction, and its columns.
    mean, sd
        Expression in log1p counts and its standard deviation, shape (N, G).
    latent
        States of the spots, shape (N, d).
    novelty
        How unlike the training spots they are, shape (N,).
    samples
        Draws of the expression, shape (N, G, S).
    info
        Goes to ``uns``.
    """
    for name in (key, _keys.sd(key), _keys.samples(key)):
        table.obsm.pop(name, None)
        table.layers.pop(name, None)
    columns = table.var_names.get_indexer(list(genes))
    for name, values in ((key, mean), (_keys.sd(key), sd)):
        if values is None:
            continue
        table.obsm[name] = pd.DataFrame(values, index=table.obs_names, columns=list(genes))
        _write_layer(table, name, values, columns)
    if samples is not None:
        table.obsm[_keys.samples(key)] = samples
    table.obsm[_keys.latent(key)] = latent
    table.obs[_keys.novelty(key)] = novelty
    table.var[key] = table.var_names.isin(genes)
    table.uns[key] = info


def _write_layer(table: AnnData, name: str, values: np.ndarray, columns: np.ndarray) -> None:
    n_bytes = table.n_obs * table.n_vars * values.itemsize
    if n_bytes > MAX_LAYER_BYTES:
        warnings.warn(
            f".layers[{name!r}] would take {n_bytes / 1024**3:.1f} GiB and is left out; "
            f".obsm[{name!r}] holds the panel. Subset the table to the panel first to get it: "
            f"table[:, model.genes].",
            UserWarning,
            stacklevel=4,
        )
        return
    layer = np.full((table.n_obs, table.n_vars), np.nan, dtype=values.dtype)
    there = columns >= 0
    layer[:, columns[there]] = values[:, there]
    table.layers[name] = layer


def replace_table(sdata: SpatialData, table_key: str, table: AnnData) -> None:
    """Put another table under a name that is taken, once it is known to be a valid one."""
    TableModel().validate(table)
    del sdata.tables[table_key]
    sdata.tables[table_key] = table
