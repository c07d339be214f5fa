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

SHIFT, DF, BIAS, BULK = "shift", "shift_df", "bulk_bias", "bulk_shift"


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How far a table's prediction may be off.

    Parameters
    ----------
    sd
        Standard deviation, shape (N, G), or None.
    given
        Which spots were measured and given to the prediction, shape (N,).
    shifts
        Scale of the shift that the spots of a region share, for each region of `get_regions`, shape
        (R, G); 0 where ``observed`` spots tell it.
    df
        Degrees of freedom of the shift.
    bulk_bias, bulk_shifts
        How far log1p of the mean amount of a slide is off, shape (G,), and the scale of its shift
        around that, shape (R, G).
    """

    sd: np.ndarray | None
    given: np.ndarray
    shifts: np.ndarray
    df: float
    bulk_bias: np.ndarray
    bulk_shifts: np.ndarray


def record_shift(shift: np.ndarray, df: float, bulk: np.ndarray | None = None) -> dict[str, Any]:
    """Return what ``uns`` keeps of the shift of each gene, in the order of its ``genes``."""
    kept = {SHIFT: np.asarray(shift, dtype=np.float64), DF: float(df)}
    if bulk is None:
        return kept
    return kept | dict(zip((BIAS, BULK), np.asarray(bulk, dtype=np.float64), strict=True))


def read_spread(table: AnnData, key: str, genes: Sequence[str], *, where: str) -> Spread:
    """Return how far a prediction may be off in some genes.

    A prediction that says nothing of a shift has none, and where it says nothing of mean amounts
    they are as far off. ``where`` is what messages call the table.

    Raises
    ------
    KeyError
        Some genes are missing.
    ValueError
        Standard deviations or shifts are not finite, a shift is negative, it has fewer than 1
        degree of freedom, or the column of observed spots is not one boolean a spot.
    """
    known, df = _read_shift(table, key, genes, where)
    given = given_spots(table, key, where=where)
    told = np.array([[given[region.rows].any()] for region in get_regions(table)])
    shifts, bulk_shifts = (np.where(told, 0.0, known[name]) for name in (SHIFT, BULK))
    sd = _read_sd(table, key, genes, where)
    return Spread(sd, given, shifts, df, known[BIAS].to_numpy(), bulk_shifts)


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
) -> tuple[pd.DataFrame, float]:
    """Return what ``uns`` keeps of the shift of some genes, a row each, and its degrees."""
    info = table.uns.get(key)
    if not isinstance(info, Mapping) or SHIFT not in info:
        return pd.DataFrame(0.0, list(genes), [SHIFT, BIAS, BULK]), np.inf
    per_gene = {name: np.asarray(info[name], float) for name in (SHIFT, BIAS, BULK) if name in info}
    known = pd.DataFrame({BIAS: 0.0, BULK: per_gene[SHIFT]} | per_gene, np.asarray(info["genes"]))
    require_genes(genes, known.index, what=f"the genes of .uns[{key!r}] in {where}")
    found, df = known.loc[list(genes)], float(info[DF])
    if not (
        np.isfinite(found).all(axis=None) and (found[[SHIFT, BULK]] >= 0).all(axis=None) and df >= 1
    ):
        raise ValueError(
            f".uns[{key!r}] of {where} holds shifts that are no finite numbers of at least 0, or "
            f"degrees of freedom, {df}, below 1. Run `stf.tl.predict` again."
        )
    return found, df
