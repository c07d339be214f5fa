"""Boundary: genes that tables share, and the most variable of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata._tables import get_regions
from stflow._sdata.expression._expression import read_counts, require_genes, require_measured
from stflow._sdata.expression._genes import clashes, gene_ids, naming_hint, require_same_genes, tell
from stflow._sdata.expression._totals import Counting, read_totals
from stflow._units import PER, are_enough
from stflow._validation import warn

MIN_SHARE_OF_SPOTS = 0.1


def most_variable(
    tables: Mapping[str, AnnData],
    n_top_genes: int,
    *,
    counting: Counting,
    among: Sequence[str] | None = None,
    in_every_slide: bool = True,
) -> list[str]:
    """Return the genes of the largest variance of expression over all spots that measured enough.

    Parameters
    ----------
    tables
        Tables by name; each region of a table is a slide.
    n_top_genes
        Number of genes, of those that enough spots express.
    counting
        How counts become expression.
    among
        Genes to choose from; None: those that all tables have.
    in_every_slide
        Whether spots must be enough on every slide, or on all together.

    Raises
    ------
    KeyError
        The layer or a column is missing.
    ValueError
        Nothing was measured, fewer genes than asked for qualify, or the counts are not raw counts.
    """
    ranked, n_shared = rank_genes(
        tables, counting=counting, among=among, in_every_slide=in_every_slide
    )
    if len(ranked) < n_top_genes:
        raise ValueError(
            f"`n_top_genes` is {n_top_genes}, but only {len(ranked)} of {n_shared} genes "
            f"are seen in {MIN_SHARE_OF_SPOTS:.0%} of the spots"
            f"{' of every slide' if in_every_slide else ''}."
        )
    return ranked[:n_top_genes]


def rank_genes(
    tables: Mapping[str, AnnData],
    *,
    counting: Counting,
    among: Sequence[str] | None = None,
    in_every_slide: bool = True,
) -> tuple[list[str], int]:
    """Return all genes that enough spots express, the most variable first, and how many there are.

    Arguments and errors are those of `most_variable`.
    """
    shared = _choosable(tables, counting, among)
    found = _moments(tables, shared, counting)
    expressed = found.everywhere if in_every_slide else found.overall
    order = np.argsort(-np.where(expressed, found.variance, -np.inf), kind="stable")
    return [shared[i] for i in order[: int(expressed.sum())]], len(shared)


def variable_of_expressed(
    tables: Mapping[str, AnnData],
    n_genes: int,
    n_expressed: int,
    *,
    counting: Counting,
    among: Sequence[str] | None = None,
) -> list[str]:
    """Return, of the genes with the largest mean expression, those with the largest variance.

    Both are over all spots that measured enough.

    Parameters
    ----------
    tables, counting, among
        As of `most_variable`.
    n_genes, n_expressed
        How many to return, and of how many.

    Raises
    ------
    KeyError
        The layer or a column is missing.
    ValueError
        Nothing was measured, there are fewer genes, or the counts are not raw counts.
    """
    shared = _choosable(tables, counting, among)
    if len(shared) < n_expressed:
        raise ValueError(
            f"The panel is chosen from the {n_expressed} genes of largest mean, but the slides "
            f"have {len(shared)} in common."
        )
    found = _moments(tables, shared, counting)
    expressed = np.argsort(-found.mean, kind="stable")[:n_expressed]
    order = np.argsort(-found.variance[expressed], kind="stable")[:n_genes]
    return [shared[i] for i in expressed[order]]


def _choosable(
    tables: Mapping[str, AnnData], counting: Counting, among: Sequence[str] | None
) -> list[str]:
    for name, table in tables.items():
        require_measured(table, counting.layer, where=f"slide {name!r}")
    return shared_genes(tables) if among is None else list(among)


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Mean and variance of genes over all spots, shape (G,).

    ``overall`` and ``everywhere`` say which enough spots express, of all and of every slide.
    """

    mean: np.ndarray
    variance: np.ndarray
    overall: np.ndarray
    everywhere: np.ndarray


def _moments(tables: Mapping[str, AnnData], genes: Sequence[str], counting: Counting) -> _Moments:
    everywhere = np.ones(len(genes), dtype=bool)
    n_spots, n_seen, total, squares = 0, *np.zeros((3, len(genes)))
    for name, table in tables.items():
        for values in _expression_by_region(table, genes, counting, f"slide {name!r}"):
            n_here = values.getnnz(axis=0)
            everywhere &= n_here >= MIN_SHARE_OF_SPOTS * values.shape[0]
            n_spots += values.shape[0]
            n_seen += n_here
            total += np.ravel(values.sum(axis=0))
            squares += np.ravel(values.power(2).sum(axis=0))
    mean, square = total / max(n_spots, 1), squares / max(n_spots, 1)
    return _Moments(mean, square - mean**2, n_seen >= MIN_SHARE_OF_SPOTS * n_spots, everywhere)


def _expression_by_region(
    table: AnnData, genes: Sequence[str], counting: Counting, where: str
) -> Iterator[sp.csr_matrix]:
    """Yield the expression of the spots of each region that measured enough, without zeros."""
    counts = read_counts(table, genes, layer=counting.layer, where=where)
    values = sp.csr_matrix(counts, dtype=np.float64)
    totals = read_totals(table, counting, where=where)
    if counting.units == "cp10k":
        values = sp.csr_matrix(sp.diags(PER / np.maximum(totals, 1e-12)) @ values)
    values = values.log1p()
    values.eliminate_zeros()
    for region in get_regions(table):
        yield values[region.rows[are_enough(totals[region.rows], counting.min_counts)]]


def auxiliary_genes(
    tables: Mapping[str, AnnData], panel: Sequence[str], n_genes: int, *, counting: Counting
) -> list[str]:
    """Return the most variable genes of training tables that are not in the panel.

    Of the ``n_genes`` most variable; fewer where fewer are seen in enough spots. Errors are those
    of `most_variable`.
    """
    if n_genes == 0:
        return []
    shared, _ = _shared_and_namesakes(tables)
    ranked, _ = rank_genes(tables, counting=counting, among=shared)
    return [gene for gene in ranked[:n_genes] if gene not in set(panel)]


def shared_genes(tables: Mapping[str, AnnData]) -> list[str]:
    """Return the genes that all tables have, in the order of the first; a warning names namesakes.

    Raises
    ------
    ValueError
        There are none.
    """
    shared, namesakes = _shared_and_namesakes(tables)
    if namesakes:
        warn(f"Not chosen, as different genes have one name: {tell(namesakes)}.")
    return shared


def _shared_and_namesakes(tables: Mapping[str, AnnData]) -> tuple[list[str], dict[str, str]]:
    """Genes that all tables have and that are the same everywhere, and those that are not."""
    first, *others = tables.values()
    shared = first.var_names
    for table in others:
        kept = shared[shared.isin(table.var_names)]
        if not len(kept):
            hint = naming_hint(list(shared), table.var) or naming_hint(
                list(table.var_names), first.var
            )
            raise ValueError(f"The slides {', '.join(tables)} share no gene. {hint}".strip())
        shared = kept
    namesakes = clashes(slide_ids(tables), shared)
    return [gene for gene in shared if gene not in namesakes], namesakes


def require_panel(tables: Mapping[str, AnnData], genes: Sequence[str]) -> None:
    """Raise unless every table has the genes, and the same ones under their names.

    Raises
    ------
    KeyError
        A table lacks some.
    ValueError
        A name stands for different genes, by the ids that the tables keep.
    """
    for name, table in tables.items():
        require_genes(genes, table.var, what=f"the genes of {name!r}")
    panel_ids(tables, genes)


def panel_ids(tables: Mapping[str, AnnData], genes: Sequence[str]) -> dict[str, str]:
    """Return the ids of the genes that have one, the same in all tables.

    Raises
    ------
    ValueError
        A name stands for different genes.
    """
    ids = slide_ids(tables)
    require_same_genes(ids, genes)
    found: dict[str, str] = {}
    for known in ids.values():
        found |= {gene: str(known[gene]) for gene in genes if gene in known.index}
    return found


def slide_ids(tables: Mapping[str, AnnData]) -> dict[str, pd.Series]:
    """Return the ids that each slide's table keeps beside the names of its genes."""
    return {f"slide {name!r}": gene_ids(table) for name, table in tables.items()}
