"""Boundary: the total counts of spots, and whether tables count the same genes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata.expression._expression import counts_matrix, require_measured, require_raw
from stflow._units import UNITS, Units
from stflow._validation import listing, require_choice, require_key

BLOCK, MOST_LACKING = 8192, 0.05


@dataclass(frozen=True, slots=True)
class Counting:
    """How the counts of a table become expression.

    Parameters
    ----------
    units
        What expression is told in.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with each spot's total counts; None: the sum over the table's genes.
    min_counts
        Fewest counts of a spot that is learned from and scored; None: as `are_enough` says.

    Raises
    ------
    ValueError
        Units that there are not, or ``min_counts`` is negative or not finite.
    """

    units: Units = "cp10k"
    layer: str | None = None
    total_key: str | None = None
    min_counts: float | None = None

    def __post_init__(self) -> None:
        require_choice(self.units, UNITS, name="units")
        floor = self.min_counts
        if floor is not None and not (np.isfinite(floor) and floor >= 0):
            raise ValueError(f"`min_counts` must be 0 or a positive number, not {floor!r}.")


def read_totals(
    table: AnnData, counting: Counting, *, where: str, over: pd.Series | None = None
) -> np.ndarray:
    """Return the total counts of each spot, float64, shape (N,).

    Parameters
    ----------
    table, where
        The table, and what messages call it.
    counting
        Where to look.
    over
        Shares of counts by gene, as `gene_shares` gives them: totals are over these genes. None:
        over all of the table.

    Raises
    ------
    KeyError
        The layer or the column is missing.
    ValueError
        Nothing was measured, the values are not raw counts, or the column does not hold totals.
    """
    if counting.total_key is not None:
        return _column(table, counting.total_key, where)
    inside = slice(None) if over is None else table.var_names.isin(over.index)
    spots, _ = _sums(table, counting.layer, inside, where)
    return spots


def gene_shares(
    tables: Mapping[str, AnnData], counting: Counting, where: Mapping[str, str]
) -> pd.Series:
    """Return what share of a spot's counts each gene holds, the mean over tables that have it.

    Raises
    ------
    ValueError
        Expression is divided by totals, and a table lacks genes that hold more than 5 % of the
        counts of others.
    """
    shares = []
    for name, table in tables.items():
        _, genes = _sums(table, counting.layer, slice(None), where[name])
        shares.append(pd.Series(genes / max(genes.sum(), 1.0), index=table.var_names.astype(str)))
    found = pd.concat(shares).groupby(level=0, sort=False).mean()
    for name, table in tables.items():
        require_whole_totals(found, table, counting, where=where[name])
    return found


def require_whole_totals(
    shares: pd.Series, table: AnnData, counting: Counting, *, where: str
) -> None:
    """Raise ``ValueError`` when totals of a table would lack too much, or nothing was measured.

    Parameters
    ----------
    shares
        Of each gene, in the counts that are learned from.
    table, counting, where
        Another table, how it is counted, and what messages call it.
    """
    if counting.units == "counts" or counting.total_key is not None:
        return
    require_measured(table, counting.layer, where=where)
    lost = shares[~shares.index.isin(table.var_names)].sort_values(ascending=False)
    if float(lost.sum()) > MOST_LACKING:
        raise ValueError(
            f"The {table.n_vars} genes of {where} lack {len(lost)} that hold {lost.sum():.0%} of "
            f"the counts elsewhere ({listing(lost.index, limit=3)}), so counts per 10,000 of their "
            "totals mean something else. Take the table before genes were filtered, name a column "
            "of .obs with the totals of all genes, `total_key='total_counts'`, or take "
            "`units='counts'`."
        )


def _column(table: AnnData, key: str, where: str) -> np.ndarray:
    require_key(key, table.obs.columns, what=f"column of obs in {where}:", hint="`total_key=`.")
    values = pd.to_numeric(table.obs[key], errors="coerce").to_numpy(dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f".obs[{key!r}] of {where} must hold the total counts of each spot, 0 or more; "
            f"{int((~(values >= 0)).sum())} are missing, negative or no numbers."
        )
    return np.rint(values)


def _sums(
    table: AnnData, layer: str | None, inside: Any, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Sum counts over the genes ``inside`` and over spots, block by block where not in memory."""
    matrix = counts_matrix(table, layer, where=where)
    in_memory = isinstance(matrix, np.ndarray) or sp.issparse(matrix)
    step = max(table.n_obs, 1) if in_memory else BLOCK
    spots, genes = np.zeros(table.n_obs), np.zeros(table.n_vars)
    for first in range(0, table.n_obs, step):
        block = matrix if in_memory else matrix[first : first + step]
        block = block.compute() if hasattr(block, "compute") else block
        require_raw(block, table, layer, where=where)
        kept = block[:, np.flatnonzero(inside)] if isinstance(inside, np.ndarray) else block
        spots[first : first + step] = np.ravel(kept.sum(axis=1, dtype=np.float64))
        genes += np.ravel(block.sum(axis=0, dtype=np.float64))
    return spots, genes
