"""Boundary: fractions of cell types into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from stflow import _keys
from stflow._sdata.written._scores import write_scores
from stflow._validation import require_apart, require_free


def require_new_fractions(
    table: AnnData, key: str, prediction: str, *, overwrite: bool, where: str
) -> None:
    """Raise ``ValueError`` when fractions called ``key`` would overwrite something.

    The ``prediction`` that they are of is never overwritten.
    """
    names = [*_keys.parts(key), _keys.unexplained(key)]
    require_apart(names, _keys.parts(prediction))
    if not overwrite:
        require_free(names, {*table.obsm, *table.uns, *table.obs}, what=where)


def write_fractions(
    table: AnnData,
    key: str,
    types: Sequence[str],
    *,
    drawn: np.ndarray,
    unexplained: np.ndarray,
    info: Mapping[str, Any],
) -> None:
    """Write fractions as a prediction of cell types instead of genes.

    Parameters
    ----------
    table, key
        Where, and what they are called.
    types
        Names of the K types; a slash is ``%2F`` there.
    drawn
        Fractions of each sample, shape (S, N, K).
    unexplained
        What no mixture of the types explains of a spot, shape (N,).
    info
        Goes to ``uns``.
    """
    mean, sd = drawn.mean(0, dtype=np.float64), drawn.std(0, ddof=1, dtype=np.float64)
    write_scores(table, key, types, mean=mean, sd=sd, info=info)
    table.obsm[_keys.samples(key)] = np.ascontiguousarray(np.moveaxis(drawn, 0, 2))
    table.obs[_keys.unexplained(key)] = unexplained
