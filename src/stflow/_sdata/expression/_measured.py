"""Boundary: what was measured of some genes, in the units that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stflow._sdata.expression._expression import dense, read_counts
from stflow._sdata.expression._totals import Counting, read_totals
from stflow._units import log_expression


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Counts of spots and what they say.

    Parameters
    ----------
    counts, expression
        Raw counts, and the same in units, float64, shape (N, G).
    totals
        Counts of each spot over all genes, shape (N,).
    """

    counts: np.ndarray
    expression: np.ndarray
    totals: np.ndarray


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
    counts = dense(found).astype(np.float64)
    totals = read_totals(table, counting, where=where, over=over)
    if counting.total_key is not None and (counts.sum(1) > totals * (1 + 1e-6)).any():
        raise ValueError(
            f".obs[{counting.total_key!r}] of {where} is less than the counts of the panel at "
            f"{int((counts.sum(1) > totals * (1 + 1e-6)).sum())} spots, so it holds no totals."
        )
    return Measured(counts, log_expression(counts, totals, counting.units), totals)
