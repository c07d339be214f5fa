"""Boundary: a table's prediction and the counts that it is compared with, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow import _keys
from stflow._sdata.expression._counts import counts_hint, layer_names
from stflow._sdata.expression._genes import naming_hint
from stflow._validation import listing, require_counts, require_finite, require_key, require_unique


def has_counts(table: AnnData, layer: str | None) -> bool:
    """Whether anything was measured: a table without counts has no ``X``."""
    return layer is not None or table.X is not None


def read_prediction(table: AnnData, key: str, *, where: str) -> pd.DataFrame:
    """Return the prediction ``key`` as a frame, spots x panel genes.

    It is ``.obsm[key]``, or else the columns of ``.layers[key]`` that are not all NaN. ``where``
    is what messages call the table.

    Raises
    ------
    KeyError
        There is no such prediction.
    TypeError
        ``.obsm[key]`` is not a frame, so its columns have no names.
    ValueError
        The prediction holds no genes, one gene twice, or NaN or infinite values.
    """
    if key in table.obsm:
        frame = table.obsm[key]
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(
                f".obsm[{key!r}] of {where} is a {type(frame).__name__}, not a DataFrame with one "
                "column a gene."
            )
        escaped = [name for name in frame.columns if _keys.SLASH in str(name)]
        if escaped:
            frame = frame.rename(columns={name: _keys.gene(name) for name in escaped})
    elif key in table.layers:
        values = dense(table.layers[key])
        inside = ~np.isnan(values).all(axis=0)
        frame = pd.DataFrame(values[:, inside], table.obs_names, table.var_names[inside])
    else:
        made_by = {_keys.scores(""): "score_genes", _keys.cell_types(""): "score_cell_types"}
        call = next((verb for end, verb in made_by.items() if key.endswith(end)), "predict")
        raise KeyError(
            f"No prediction {key!r} in {where}; obsm: {listing(table.obsm.keys())}; layers: "
            f"{listing(layer_names(table))}. Run `stf.tl.{call}` first, or name it with `key=`."
        )
    if frame.shape[1] == 0:
        raise ValueError(f"The prediction {key!r} in {where} holds no genes.")
    require_unique(list(frame.columns), what=f"genes in the prediction {key!r}")
    require_finite(frame.to_numpy(), what=f"The prediction {key!r} in {where}")
    return frame


def read_counts(
    table: AnnData, genes: Sequence[str], *, layer: str | None, where: str
) -> np.ndarray | sp.spmatrix | sp.sparray:
    """Return the raw counts of ``genes``, shape (N, G), sparse where the table's are.

    Raises
    ------
    KeyError
        The layer, or some genes, are missing.
    ValueError
        Nothing was measured, or the values are not raw counts.
    """
    matrix = counts_matrix(table, layer, where=where)
    require_genes(genes, table.var, what=f"the measured genes of {where}")
    counts = take_columns(matrix, table.var_names.get_indexer(list(genes)))
    require_raw(counts, table, layer, where=where)
    return counts


def counts_matrix(table: AnnData, layer: str | None, *, where: str) -> Any:
    """Return all counts of a table as they are kept, in memory or not.

    Raises
    ------
    KeyError
        The layer is missing.
    ValueError
        Nothing was measured.
    """
    require_measured(table, layer, where=where)
    if layer is None:
        return table.X
    names = layer_names(table)
    require_key(layer, names, what=f"layer in {where}:", hint="Name it with `layer=`.")
    return table.layers[layer]


def require_raw(counts: Any, table: AnnData, layer: str | None, *, where: str) -> None:
    """Raise ``ValueError`` unless these values of a table are raw counts."""
    name = "X" if layer is None else f"Layer {layer!r}"
    try:
        require_counts(counts, what=f"{name} of {where}")
    except ValueError as error:
        raise ValueError(f"{error} {counts_hint(table)}") from None


def require_measured(table: AnnData, layer: str | None, *, where: str) -> None:
    """Raise ``ValueError`` when a table holds no counts."""
    if not has_counts(table, layer):
        raise ValueError(
            f"Nothing was measured in {where} (its X is None), so there are no counts to learn "
            f"from, or to compare a prediction with. {counts_hint(table)}"
        )


def take_columns(matrix: Any, at: np.ndarray) -> Any:
    """Take columns in any order, also of an array on disk, which gives them in its own alone.

    Of a lazy array they are computed, sparse where its chunks are.
    """
    if isinstance(matrix, np.ndarray) or sp.issparse(matrix):
        return matrix[:, at]
    order = np.argsort(at)
    columns = matrix[:, at[order]]
    columns = columns.compute() if hasattr(columns, "compute") else columns
    return columns[:, np.argsort(order)]


def require_genes(genes: Sequence[str], available: pd.Index | pd.DataFrame, *, what: str) -> None:
    """Raise ``KeyError`` unless every gene is among ``available``.

    These are names, or the ``var`` of a table, which may tell how else they are called.
    """
    var = available if isinstance(available, pd.DataFrame) else pd.DataFrame(index=available)
    lost = [gene for gene in genes if gene not in var.index]
    if lost:
        message = (
            f"{len(lost)} of {len(genes)} genes are not among {what}: {listing(lost)}; "
            f"available: {listing(var.index)}. {naming_hint(lost, var)}"
        )
        raise KeyError(message.strip())


def require_gene_list(genes: str | Sequence[str]) -> list[str]:
    """Return the names as a list without repeats; one name stands for itself.

    Raises
    ------
    TypeError
        They are no names, or one is no text, such as a row number or NaN.
    ValueError
        There are no names, or one is empty or repeated.
    """
    if not isinstance(genes, Iterable):
        raise TypeError(
            f"`genes` is {genes!r}; pass names of genes, such as `stf.pp.select_genes` chooses."
        )
    names = [genes] if isinstance(genes, str) else list(genes)
    if not names:
        raise ValueError("`genes` is empty; name at least one gene.")
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise TypeError(
            f"`genes` holds {listing(odd)}, a {type(odd[0]).__name__} and no text. Pass names as "
            "they stand in `table.var_names`."
        )
    if not all(name.strip() for name in names):
        raise ValueError("`genes` holds an empty name. Leave it out.")
    require_unique(names, what="genes")
    return [str(name) for name in names]


def dense(matrix: Any) -> np.ndarray:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)
