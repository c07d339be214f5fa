"""Boundary: genes that tables share, and the most variable of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata._tables import get_regions
from stflow._sdata.expression._expression import read_counts, require_genes, require_measured
from stflow._sdata.expression._genes import clashes, gene_ids, naming_hint, require_same_genes, tell
from stflow._validation import warn

MIN_SHARE_OF_SPOTS = 0.1


def most_variable(
    tables: Mapping[str, AnnData],
    n_top_genes: int,
    *,
    layer: str | None,
    in_every_slide: bool = True,
) -> list[str]:
    """Return the genes of the largest variance in log1p counts over all spots.

    Parameters
    ----------
    tables
        Tables by name; each region of a table is a slide.
    n_top_genes
        Number of genes, of those that enough spots express.
    layer
        Layer that holds the raw counts; None is ``.X``.
    in_every_slide
        Whether spots must be enough on every slide, or on all together.

    Raises
    ------
    KeyError
        The layer is missing.
    ValueError
        Nothing was measured, fewer genes than asked for qualify, or the counts are not raw counts.
    """
    for name, table in tables.items():
        require_measured(table, layer, where=f"slide {name!r}")
    shared = shared_genes(tables)
    n_spots = sum(table.n_obs for table in tables.values())
    everywhere = np.ones(len(shared), dtype=bool)
    n_seen, mean, mean_square = np.zeros((3, len(shared)))
    for name, table in tables.items():
        counts = read_counts(table, shared, layer=layer, where=f"slide {name!r}")
        values = sp.csr_matrix(counts, dtype=np.float64).log1p()
        values.eliminate_zeros()
        for region in get_regions(table):
            n_here = values[region.rows].getnnz(axis=0)
            everywhere &= n_here >= MIN_SHARE_OF_SPOTS * len(region.rows)
            n_seen += n_here
        mean += np.ravel(values.sum(axis=0)) / n_spots
        mean_square += np.ravel(values.power(2).sum(axis=0)) / n_spots
    expressed = everywhere if in_every_slide else n_seen >= MIN_SHARE_OF_SPOTS * n_spots
    if expressed.sum() < n_top_genes:
        raise ValueError(
            f"`n_top_genes` is {n_top_genes}, but only {expressed.sum()} of {len(shared)} genes "
            f"are seen in {MIN_SHARE_OF_SPOTS:.0%} of the spots"
            f"{' of every slide' if in_every_slide else ''}."
        )
    variance = np.where(expressed, mean_square - mean**2, -np.inf)
    order = np.argsort(-variance, kind="stable")[:n_top_genes]
    return [shared[i] for i in order]


def shared_genes(tables: Mapping[str, AnnData]) -> list[str]:
    """Return the genes that all tables have, in the order of the first; a warning names namesakes.

    Raises
    ------
    ValueError
        There are none.
    """
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
    if namesakes:
        warn(f"Not chosen, as different genes have one name: {tell(namesakes)}.")
    return [gene for gene in shared if gene not in namesakes]


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
