"""Boundary: spots of a table that were measured, while others are to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import ArrayLike

from stflow import _keys
from stflow._sdata.expression._counts import layer_names
from stflow._sdata.expression._expression import require_genes, take_columns
from stflow._sdata.expression._measured import read_measured
from stflow._sdata.expression._totals import Counting
from stflow._units import are_enough
from stflow._validation import listing, warn


def read_observed(
    table: AnnData,
    observed: str | ArrayLike,
    genes: Sequence[str],
    *,
    counting: Counting,
    over: pd.Series,
    where: str,
) -> np.ndarray:
    """Return expression of the measured spots, shape (N, G), NaN for all others.

    Spots of fewer counts than ``counting`` asks for count as not measured, with a warning.

    Parameters
    ----------
    table, where
        The table, and what messages call it.
    observed
        Which spots were measured: booleans (N,), the name of such a column of ``.obs``, or the
        name of a layer of counts whose other rows are NaN.
    genes
        The genes.
    counting, over
        How they are counted, and the genes that totals are over; see `read_totals`.

    Raises
    ------
    KeyError
        There is neither a column nor a layer of that name, or genes were not measured.
    ValueError
        Not one boolean a spot, no spot is measured, some but not all genes of a spot are NaN,
        or the counts of measured spots are not raw counts.
    """
    require_genes(genes, table.var, what=f"the genes of {where}")
    if isinstance(observed, str) and observed not in table.obs and observed in table.layers:
        counting = replace(counting, layer=observed)
        mask = _rows_of_layer(table, observed, genes, where)
    else:
        mask = _mask(table, observed, where)
    if not mask.any():
        raise ValueError(f"`observed` marks no spot of {where}; pass None to use none.")
    found = read_measured(table[mask], genes, counting, where=where, over=over)
    enough = are_enough(found.totals, counting.min_counts)
    if not enough.all():
        warn(
            f"{(~enough).sum()} of {len(enough)} `observed` spots of {where} hold too few counts "
            "to say anything, and are predicted like the others."
        )
    expression = np.full((table.n_obs, len(genes)), np.nan, dtype=np.float32)
    expression[np.flatnonzero(mask)[enough]] = found.expression[enough]
    return expression


def given_spots(table: AnnData, key: str, *, where: str) -> np.ndarray:
    """Find the spots whose counts the prediction ``key`` was given, shape (N,).

    Raises
    ------
    ValueError
        The column of ``.obs`` that tells them is not one boolean a spot.
    """
    column = _keys.observed(key)
    if column not in table.obs:
        return np.zeros(table.n_obs, dtype=bool)
    given = table.obs[column].to_numpy()
    if given.dtype != bool:
        raise ValueError(
            f".obs[{column!r}] of {where} must be one True or False a spot, not {given.dtype}. It "
            "tells which spots are not scored; mend it, or run `stf.tl.predict` again."
        )
    return given


def _rows_of_layer(table: AnnData, layer: str, genes: Sequence[str], where: str) -> np.ndarray:
    """Find the rows of a layer that are not NaN."""
    values = take_columns(table.layers[layer], table.var_names.get_indexer(list(genes)))
    lost = np.isnan(values.toarray() if sp.issparse(values) else np.asarray(values, dtype=float))
    partly = lost.any(1) & ~lost.all(1)
    if partly.any():
        raise ValueError(
            f"Layer {layer!r} of {where} is NaN for some genes of {partly.sum()} spots: "
            f"{listing(table.obs_names[partly])}. A spot is measured for the whole panel or NaN."
        )
    return ~lost.all(1)


def _mask(table: AnnData, observed: str | ArrayLike, where: str) -> np.ndarray:
    """Return the booleans, from wherever they come."""
    if isinstance(observed, str):
        if observed not in table.obs:
            raise KeyError(
                f"`observed` {observed!r} is neither a column of obs of {where} "
                f"({listing(table.obs.columns)}) nor a layer ({listing(layer_names(table))})."
            )
        observed = table.obs[observed]
    if isinstance(observed, pd.Series):
        if not observed.index.equals(table.obs_names):
            raise ValueError(f"The index of `observed` is not the spots of {where}, in order.")
        observed = observed.to_numpy()
    mask = np.asarray(observed)
    if mask.dtype != bool or mask.shape != (table.n_obs,):
        raise ValueError(
            f"`observed` must be one True or False a spot, shape ({table.n_obs},), without NaN, "
            f"not {mask.dtype} of shape {mask.shape}."
        )
    return mask
