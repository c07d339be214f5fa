"""Boundary: what was measured of some genes, in the units that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import issparse

from stflow._sdata.expression._expression import dense, read_counts
from stflow._sdata.expression._totals import BLOCK, Counting, read_totals
from stflow._units import Units, log_expression


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Counts of spots and what they say.

    Parameters
    ----------
    found
        Raw counts as the table keeps them, sparse or not, shape (N, G).
    totals
        Counts of each spot over all genes, shape (N,).
    units
        What expression is in.
    """

    found: Any
    totals: np.ndarray
    units: Units

    @property
    def counts(self) -> np.ndarray:
        """Raw counts, float64, shape (N, G)."""
        return dense(self.found).astype(np.float64)

    @property
    def expression(self) -> np.ndarray:
        """The counts in units, float64, shape (N, G)."""
        return log_expression(self.counts, self.totals, self.units)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the expression of some spots after the other, with their place."""
        for first in range(0, len(self.totals), BLOCK):
            rows = slice(first, first + BLOCK)
            yield rows, replace(self, found=self.found[rows], totals=self.totals[rows]).expression


def read_measured(
    table: AnnData,
    genes: Sequence[str],
    counting: Counting,
    *,
    where: str,
    over: pd.Series | None = None,
) -> Measured:
    """Read genes of a table.

    Parameters
    ----------
    table, where
        The table, and what messages call it.
    genes
        The G genes.
    counting, over
        How they are counted, and the genes that totals are over; see `read_totals`.

    Raises
    ------
    KeyError
        The layer, a column, or some genes are missing.
    ValueError
        Nothing was measured, the values are not raw counts, or totals are less than what they are
        the total of.
    """
    found: Any = read_counts(table, genes, layer=counting.layer, where=where)
    totals = read_totals(table, counting, where=where, over=over)
    if counting.total_key is not None:
        more = np.ravel(found.sum(axis=1, dtype=np.float64)) > totals * (1 + 1e-6)
        if more.any():
            raise ValueError(
                f".obs[{counting.total_key!r}] of {where} is less than the counts of the panel at "
                f"{int(more.sum())} spots, so it holds no totals."
            )
    return Measured(found.tocsr() if issparse(found) else found, totals, counting.units)
