"""Boundary: what a prediction says of each spot, as numbers with names, a few spots at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from stflow import _keys
from stflow._sdata.expression._counts import layer_names, looks_raw
from stflow._sdata.expression._expression import read_prediction, require_gene_list, require_genes
from stflow._sdata.expression._totals import Counting, read_totals
from stflow._validation import listing, require_key, require_unique

TOTALS = "total_counts"
SD = "sd"
COLUMNS = "Name columns of .obs with `columns=`."


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers of the N spots of a table.

    Parameters
    ----------
    names
        What each of the M numbers is called.
    parts
        Matrices (N, K) side by side, and which columns of each are meant. Several of one part take
        turns: mean and standard deviation of the first gene, then of the second.
    """

    names: list[str]
    parts: list[tuple[list[np.ndarray], np.ndarray]]

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of some rows, shape (len(rows), M)."""
        taken = [
            np.stack([each[np.ix_(rows, columns)] for each in turns], axis=2)
            for turns, columns in self.parts
        ]
        return np.hstack([each.reshape(len(rows), -1) for each in taken])


def read_numbers(
    table: AnnData,
    key: str,
    genes: Sequence[str] | None,
    columns: Sequence[str],
    *,
    where: str,
) -> Numbers:
    """Read mean and standard deviation of a prediction and of its scores, and more of each spot.

    Parameters
    ----------
    table, key
        Where the prediction is, and its name.
    genes
        Which of its genes; None: all.
    columns
        Further columns of ``.obs``.
    where
        What messages call the table.

    Raises
    ------
    KeyError
        There is no such prediction, gene or column.
    TypeError
        The prediction is no frame.
    ValueError
        It is not finite, a column holds no numbers, or two numbers share a name.
    """
    names, parts = _predicted(table, key, genes, where)
    for scores in _scores_of(table, key):
        more, found = _predicted(table, scores, None, where)
        names, parts = names + more, parts + found
    recorded = [each for each in (_keys.novelty(key), _keys.observed(key)) if each in table.obs]
    singles = {each: _column(table, each, where) for each in dict.fromkeys([*recorded, *columns])}
    if TOTALS not in singles and looks_raw(table.X):
        singles[TOTALS] = read_totals(table, Counting("counts"), where=where)
    if singles:
        names += list(singles)
        matrix = np.column_stack(list(singles.values()))
        parts.append(([matrix], np.arange(matrix.shape[1])))
    require_unique(names, what="names of numbers")
    return Numbers(names, parts)


def _predicted(
    table: AnnData, key: str, genes: Sequence[str] | None, where: str
) -> tuple[list[str], list[tuple[list[np.ndarray], np.ndarray]]]:
    """Name and find the mean of a prediction, and its standard deviation where there is one."""
    mean = read_prediction(table, key, where=where)
    chosen = [str(gene) for gene in mean.columns] if genes is None else require_gene_list(genes)
    require_genes(chosen, mean.columns, what=f"the genes of {key!r} in {where}")
    turns, endings = [mean.to_numpy()], [""]
    if _keys.sd(key) in {*table.obsm, *layer_names(table)}:
        sd = read_prediction(table, _keys.sd(key), where=where)
        require_genes(list(mean.columns), sd.columns, what=f"the genes of {_keys.sd(key)!r}")
        turns.append(sd[list(mean.columns)].to_numpy())
        endings.append(f" {SD}")
    names = [f"{key} {gene}{ending}" for gene in chosen for ending in endings]
    return names, [(turns, mean.columns.get_indexer(pd.Index(chosen)))]


def _scores_of(table: AnnData, key: str) -> list[str]:
    """Names of the scores of gene sets that are of a prediction."""
    return [
        name
        for name, info in table.uns.items()
        if isinstance(info, Mapping) and info.get("prediction") == key and name in table.obsm
    ]


def _column(table: AnnData, name: str, where: str) -> np.ndarray:
    require_key(name, table.obs.columns, what=f"column of obs in {where}:", hint=COLUMNS)
    column = table.obs[name]
    if not is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype):
        raise ValueError(
            f".obs[{name!r}] of {where} holds {listing(column.unique(), limit=3)}, which are no "
            "numbers. Leave it out of `columns=`; `classification=` makes classes of it."
        )
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
