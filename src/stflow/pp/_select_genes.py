"""Public verb: the genes worth predicting."""

from __future__ import annotations

from collections.abc import Mapping

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import as_mapping, get_table
from stflow._sdata.expression import most_variable
from stflow._validation import require_count


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
        One slide, or several by name; a table with several regions is several slides.
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
        Nothing was measured, fewer genes than asked for qualify, or the counts are not raw counts.

    Warns
    -----
    UserWarning
        A name stands for different genes, by the ids that the tables keep (``.var["gene_ids"]``
        and the like), and is not chosen.

    Examples
    --------
    >>> import stflow as stf
    >>> genes = stf.pp.select_genes(stf.datasets.synthetic(), n_top_genes=10)
    """
    require_count(n_top_genes, name="n_top_genes")
    slides = as_mapping(data)
    tables = {name: get_table(each, table_key, name=name) for name, each in slides.items()}
    return most_variable(tables, n_top_genes, layer=layer)
