"""Boundary: scores of gene sets into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._validation import require_apart, require_free


def require_new_scores(
    table: AnnData, key: str, prediction: str, *, overwrite: bool, where: str
) -> None:
    """Raise ``ValueError`` when scores called ``key`` would overwrite something.

    The ``prediction`` that they are of is never overwritten.
    """
    keys = [key, _keys.sd(key)]
    require_apart(keys, _keys.parts(prediction))
    if not overwrite:
        require_free(keys, {*table.obsm, *table.uns}, what=where)


def write_scores(
    table: AnnData,
    key: str,
    names: Sequence[str],
    *,
    mean: np.ndarray,
    sd: np.ndarray,
    info: Mapping[str, Any],
) -> None:
    """Write scores as a prediction of sets instead of genes.

    Parameters
    ----------
    table, key
        Where, and what they are called.
    names
        Of the K sets; a slash is ``%2F`` there.
    mean, sd
        Scores and their standard deviations, shape (N, K).
    info
        Goes to ``uns``.
    """
    columns = [_keys.column(name) for name in names]
    for name, values in ((key, mean), (_keys.sd(key), sd)):
        table.obsm[name] = pd.DataFrame(values, index=table.obs_names, columns=columns)
    table.uns[key] = {"genes": np.array(names, dtype=str), **info}
