"""Boundary: how far a prediction may be off, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow import _keys
from stflow._sdata._tables import get_regions
from stflow._sdata.expression._expression import read_prediction, require_genes
from stflow._sdata.expression._observed import given_spots

SHIFT, DF = "shift", "shift_df"


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How far a table's prediction may be off.

    Parameters
    ----------
    sd
        Standard deviation, shape (N, G), or None.
    shifts
        Scale of the shift that the spots of a region share, for each region of `get_regions`, shape
        (R, G); 0 where ``observed`` spots tell it.
    df
        Degrees of freedom of the shift.
    """

    sd: np.ndarray | None
    shifts: np.ndarray
    df: float


def record_shift(shift: np.ndarray, df: float) -> dict[str, Any]:
    """Return what ``uns`` keeps of the shift of each gene, in the order of its ``genes``."""
    return {SHIFT: np.asarray(shift, dtype=np.float64), DF: float(df)}


def read_spread(table: AnnData, key: str, genes: Sequence[str], *, where: str) -> Spread:
    """Return how far a prediction may be off in some genes.

    A prediction that says nothing of a shift has none. ``where`` is what messages call the table.

    Raises
    ------
    KeyError
        Some genes are missing.
    ValueError
        Standard deviations or shifts are not finite, a shift is negative, it has fewer than 1
        degree of freedom, or the column of observed spots is not one boolean a spot.
    """
    shift, df = _read_shift(table, key, genes, where)
    given = given_spots(table, key, where=where)
    told = np.array([given[region.rows].any() for region in get_regions(table)])
    return Spread(_read_sd(table, key, genes, where), np.where(told[:, None], 0.0, shift), df)


def lacks_sd(key: str, where: str) -> KeyError:
    """Return the error that a prediction, and where it is, comes without standard deviation."""
    return KeyError(
        f"No standard deviation {_keys.sd(key)!r} beside the prediction {key!r} of "
        f"{where}. Run `stf.tl.predict(..., n_samples=8)`, with at least 2 samples."
    )


def _read_sd(table: AnnData, key: str, genes: Sequence[str], where: str) -> np.ndarray | None:
    sd_key = _keys.sd(key)
    if sd_key not in table.obsm and sd_key not in table.layers:
        return None
    frame = read_prediction(table, sd_key, where=where)
    require_genes(genes, frame.columns, what=f"the genes of {sd_key!r} in {where}")
    return frame[list(genes)].to_numpy(dtype=np.float64)


def _read_shift(
    table: AnnData, key: str, genes: Sequence[str], where: str
) -> tuple[np.ndarray, float]:
    """Return the scale of each gene's shift, shape (G,), and its degrees of freedom."""
    info = table.uns.get(key)
    if not isinstance(info, Mapping) or SHIFT not in info:
        return np.zeros(len(genes)), np.inf
    known = pd.Series(np.asarray(info[SHIFT], dtype=np.float64), np.asarray(info["genes"]))
    require_genes(genes, known.index, what=f"the genes of .uns[{key!r}] in {where}")
    shift, df = known[list(genes)].to_numpy(), float(info[DF])
    if not (np.isfinite(shift).all() and (shift >= 0).all() and df >= 1):
        raise ValueError(
            f".uns[{key!r}] of {where} holds shifts that are no finite numbers of at least 0, or "
            f"degrees of freedom, {df}, below 1. Run `stf.tl.predict` again."
        )
    return shift, df
