"""Boundary: the samples of a prediction, as an array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._validation import require_finite


def read_samples(
    table: AnnData, key: str, frame: pd.DataFrame, panel: Sequence[str], *, where: str
) -> np.ndarray | None:
    """Return the samples of a prediction as (S, N, G), None where there are none.

    Parameters
    ----------
    table, key
        Where the prediction is, and its name.
    frame
        Its mean, whose genes the samples have, in that order.
    panel
        The genes to return.
    where
        What messages call the table.

    Raises
    ------
    ValueError
        They are not finite, or not of the spots and genes of the mean.
    """
    samples_key = _keys.samples(key)
    if samples_key not in table.obsm or key not in table.obsm:
        return None
    samples = np.asarray(table.obsm[samples_key])
    if samples.ndim != 3 or samples.shape[:2] != frame.shape or samples.shape[2] == 0:
        raise ValueError(
            f".obsm[{samples_key!r}] of {where} has shape {samples.shape}, not (spots, genes, "
            f"samples) with the {frame.shape[0]} spots and {frame.shape[1]} genes of "
            f".obsm[{key!r}]. Run `stf.tl.predict(..., keep_samples=True)` again."
        )
    require_finite(samples, what=f".obsm[{samples_key!r}] of {where}")
    columns = frame.columns.get_indexer(pd.Index(panel))
    chosen = samples if list(panel) == list(frame.columns) else samples[:, columns]
    return np.moveaxis(chosen, 2, 0)
