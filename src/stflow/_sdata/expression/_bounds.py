"""Boundary: between which bounds a measurement should lie, of genes, scores or fractions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._sdata._tables import get_regions
from stflow._sdata.expression._draws import read_samples
from stflow._sdata.expression._recorded import are_fractions
from stflow._sdata.expression._spread import Spread, lacks_sd, read_spread
from stflow.metrics import central_interval, gaussian_interval, shifted_interval


def read_bounds(
    table: AnnData, key: str, frame: pd.DataFrame, genes: Sequence[str], level: float, *, where: str
) -> tuple[np.ndarray, Spread]:
    """Return lower and upper bounds of some genes, shape (2, N, G), and how they come about.

    None is below 0. Those of fractions are quantiles of samples, at most 1, wider by as much as
    the shift makes others wider.

    Parameters
    ----------
    table, key, frame
        Where the prediction is, its name, and its mean.
    genes
        Columns of it.
    level
        Share that is to lie between the bounds.
    where
        What messages call the table.

    Raises
    ------
    KeyError
        There is no standard deviation, or there are no samples of fractions.
    ValueError
        ``level`` is not between 0 and 1, or something that is read is not finite.
    """
    spread = read_spread(table, key, genes, where=where)
    if spread.sd is None:
        raise lacks_sd(key, where)
    values = frame[list(genes)].to_numpy(dtype=np.float64)
    bounds = np.empty((2, *values.shape))
    for region, shift in zip(get_regions(table), spread.shifts, strict=True):
        at, how = region.rows, {"shift": shift, "df": spread.df, "level": level}
        bounds[:, at] = shifted_interval(values[at], spread.sd[at], **how)
    if are_fractions(table, key):
        samples = read_samples(table, key, frame, genes, where=where)
        if samples is None:
            raise KeyError(
                f"No samples {_keys.samples(key)!r} beside the fractions {key!r} of {where}. Run "
                "`stf.tl.score_cell_types(..., overwrite=True)` again."
            )
        bounds = _of_fractions(samples, spread.sd, bounds[1] - values, level)
    return bounds.clip(min=0), spread


def _of_fractions(
    samples: np.ndarray, sd: np.ndarray, half: np.ndarray, level: float
) -> np.ndarray:
    """Bounds (2, N, K) of samples, wider than these are by what ``half`` is over a normal's."""
    _, normal = gaussian_interval(np.zeros_like(sd), sd, level=level)
    wider = np.divide(half, normal, out=np.ones_like(sd), where=normal > 0)
    middle = np.median(samples, axis=0)
    ends = central_interval(samples, level=level)
    return np.stack([middle + (end - middle) * wider for end in ends]).clip(max=1)
