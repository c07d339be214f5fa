"""Boundary: predictions into a table, all of them or none."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._sdata.expression import layer_names, record_shift
from stflow._validation import require_apart, require_free, warn

MAX_LAYER_BYTES = 2 * 1024**3


def require_new_prediction(
    table: AnnData, key: str, *, overwrite: bool, read: Collection[str | None]
) -> None:
    """Raise ``ValueError`` when a prediction called ``key`` would overwrite something.

    What is ``read`` to make it is never overwritten.
    """
    keys = [*_keys.parts(key), _keys.latent(key)]
    require_apart(keys, read)
    if overwrite:
        return
    taken = {*table.obsm, *layer_names(table), *table.uns, *table.var.columns}
    keys += [_keys.shift(key), *(_keys.trust(key, score) for score in _keys.TRUST)]
    require_free(keys, taken, what="The table")
    columns = [_keys.novelty(key), _keys.observed(key)]
    require_free(columns, table.obs.columns, what="The table's `obs`")


def lacks_panel(table: AnnData, genes: Sequence[str]) -> bool:
    """Whether nothing was measured and ``var`` misses genes; predictions have a frame in obsm."""
    if pd.Index(genes).isin(table.var_names).all():
        return False
    measured = table.X is not None or not set(layer_names(table)) <= set(table.obsm)
    return table.n_vars == 0 or not measured


def with_panel(table: AnnData, genes: Sequence[str]) -> AnnData:
    """Return a table without counts as one whose ``var`` holds the panel and whose X is None.

    Genes of earlier predictions stay. In what there is of the table, new genes are NaN or False.
    """
    new = [gene for gene in genes if gene not in table.var_names]
    var = table.var.reindex(table.var_names.append(pd.Index(new, name=table.var_names.name)))
    for column in table.var.select_dtypes(bool):
        var[column] = var.index.isin(table.var_names[table.var[column]])
    return AnnData(
        X=None,
        obs=table.obs,
        var=var,
        uns=table.uns,
        obsm=dict(table.obsm),
        obsp=dict(table.obsp),
        layers={name: _padded(table.layers[name], len(new), (1,)) for name in layer_names(table)},
        varm={name: _padded(each, len(new), (0,)) for name, each in table.varm.items()},
        varp={name: _padded(each, len(new), (0, 1)) for name, each in table.varp.items()},
    )


def _padded(values: np.ndarray, n: int, axes: tuple[int, ...]) -> np.ndarray:
    """Add ``n`` NaN at the end of some axes."""
    widths = [(0, n if axis in axes else 0) for axis in range(values.ndim)]
    dtype = np.result_type(values.dtype, np.float32)
    return np.pad(values.astype(dtype), widths, constant_values=np.nan)


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
    observed: np.ndarray | None,
    shift: np.ndarray,
    shift_df: float,
    bulk: np.ndarray | None,
    trust: pd.DataFrame,
    info: dict[str, Any],
) -> None:
    """Write what a model predicts for all spots of a table.

    Parameters
    ----------
    table
        Where to write.
    key, genes
        Name of the prediction, and its columns; there, a slash is ``%2F``.
    mean, sd
        Expression and its standard deviation, shape (N, G).
    latent
        States of the spots, shape (N, d).
    novelty
        How unlike the training spots they are, shape (N,).
    samples
        Draws of the expression, shape (N, G, S).
    observed
        Which spots were measured and given, shape (N,); None: nothing was.
    shift, shift_df
        Scale of the shift that the spots of a slide share, shape (G,), and its degrees of freedom.
    bulk
        How far log1p of mean amounts is off, and the scale of its shift, shape (2, G), or None.
    trust
        How far each gene can be trusted, one row a gene.
    info
        Goes to ``uns``.
    """
    for name in _keys.parts(key):
        table.obsm.pop(name, None)
        table.layers.pop(name, None)
    if _keys.observed(key) in table.obs:
        del table.obs[_keys.observed(key)]
    columns = table.var_names.get_indexer(list(genes))
    names = [_keys.column(gene) for gene in genes]
    for name, values in ((key, mean), (_keys.sd(key), sd)):
        if values is None:
            continue
        table.obsm[name] = pd.DataFrame(values, index=table.obs_names, columns=names)
        _write_layer(table, name, values, columns)
    if samples is not None:
        table.obsm[_keys.samples(key)] = samples
    table.obsm[_keys.latent(key)] = latent
    table.obs[_keys.novelty(key)] = novelty
    if observed is not None:
        table.obs[_keys.observed(key)] = observed
    table.var[key] = table.var_names.isin(genes)
    for score in _keys.TRUST:
        values = trust[score].reindex(table.var_names).to_numpy(dtype=np.float64)
        table.var[_keys.trust(key, score)] = values
    shifts = pd.Series(shift, index=list(genes)).reindex(table.var_names)
    table.var[_keys.shift(key)] = shifts.to_numpy(dtype=np.float64)
    table.uns[key] = {**info, **record_shift(shift, shift_df, bulk)}


def _write_layer(table: AnnData, name: str, values: np.ndarray, columns: np.ndarray) -> None:
    n_bytes = table.n_obs * table.n_vars * values.itemsize
    if n_bytes > MAX_LAYER_BYTES:
        warn(
            f".layers[{name!r}] would take {n_bytes / 1024**3:.1f} GiB and is left out; "
            f".obsm[{name!r}] holds the panel. Subset the table to the panel first to get it: "
            f"table[:, model.genes]."
        )
        return
    layer = np.full((table.n_obs, table.n_vars), np.nan, dtype=values.dtype)
    there = columns >= 0
    layer[:, columns[there]] = values[:, there]
    table.layers[name] = layer
