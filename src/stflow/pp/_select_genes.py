"""Public verb: the genes worth predicting."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._read import read_counts
from stflow._sdata._slides import as_mapping
from stflow._sdata._tables import get_table
from stflow._validation import require_count

MIN_SHARE_OF_SPOTS = 0.1


def select_genes(
    data: SpatialData | AnnData | Mapping[str, SpatialData | AnnData],
    n_top_genes: int = 50,
    *,
    layer: str | None = None,
    table_key: str = _keys.TABLE,
) -> list[str]:
    """Choose the most variable genes of training slides.

    Among the genes that every slide measures and that at least 10 % of the spots of every slide
    express, those with the largest variance of log1p counts over all spots, as HEST-bench does.
    Choose them on training slides only.

    Parameters
    ----------
    data
        One slide, or several by name.
    n_top_genes
        Number of genes.
    layer
        Layer that holds the raw counts; None is ``.X``.
    table_key
        Name of the table in each slide.

    Returns
    -------
    ``n_top_genes`` gene names, the most variable first.

    Raises
    ------
    KeyError
        A table or layer is missing.
    ValueError
        Fewer genes than asked for qualify, or the counts are not raw counts.

    Examples
    --------
    >>> import stflow as stf
    >>> genes = stf.pp.select_genes(stf.datasets.synthetic(), n_top_genes=10)
    """
    require_count(n_top_genes, name="n_top_genes")
    tables = {name: get_table(each, table_key) for name, each in as_mapping(data).items()}
    shared = _shared_genes(tables)
    n_spots = sum(table.n_obs for table in tables.values())
    expressed = np.ones(len(shared), dtype=bool)
    mean, mean_square = np.zeros((2, len(shared)))
    for name, table in tables.items():
        counts = read_counts(table, shared, layer=layer, where=f"slide {name!r}")
        values = sp.csr_matrix(counts, dtype=np.float64).log1p()
        values.eliminate_zeros()
        expressed &= values.getnnz(axis=0) >= MIN_SHARE_OF_SPOTS * table.n_obs
        mean += np.ravel(values.sum(axis=0)) / n_spots
        mean_square += np.ravel(values.power(2).sum(axis=0)) / n_spots
    if expressed.sum() < n_top_genes:
        raise ValueError(
            f"`n_top_genes` is {n_top_genes}, but only {expressed.sum()} of {len(shared)} genes "
            f"are seen in {MIN_SHARE_OF_SPOTS:.0%} of the spots of every slide."
        )
    variance = np.where(expressed, mean_square - mean**2, -np.inf)
    order = np.argsort(-variance, kind="stable")[:n_top_genes]
    return [shared[i] for i in order]


def _shared_genes(tables: Mapping[str, AnnData]) -> list[str]:
    """Genes that all tables have, in the order of the first."""
    first, *others = tables.values()
    shared = first.var_names
    for table in others:
        shared = shared[shared.isin(table.var_names)]
    if not len(shared):
        raise ValueError(f"The slides {', '.join(tables)} share no gene.")
    return list(shared)
