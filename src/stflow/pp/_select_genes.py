"""Public verb: the genes worth predicting."""

from __future__ import annotations

from collections.abc import Mapping

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import as_mapping, get_table
from stflow._sdata.expression import Counting, most_variable
from stflow._units import Units
from stflow._validation import require_count


def select_genes(
    data: SpatialData | AnnData | Mapping[str, SpatialData | AnnData],
    n_top_genes: int = 50,
    *,
    units: Units = "cp10k",
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    table_key: str = _keys.TABLE,
) -> list[str]:
    """Choose the most variable genes of training slides.

    Among the genes that every slide measures and that at least 10 % of the spots of every slide
    express, those with the largest variance of expression over all spots; with
    ``units="counts"``, as HEST-bench does. Choose them on training slides only, in the units that
    :func:`stflow.tl.fit` is given.

    Parameters
    ----------
    data
        One slide, or several by name; a table with several regions is several slides.
    n_top_genes
        Number of genes.
    units
        What varies: ``"cp10k"``, log1p of counts per 10,000 of a spot's total, or ``"counts"``,
        log1p of counts, which vary with how deep spots were read.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot; None: the sum over all genes of its
        table.
    min_counts
        Spots of fewer counts say nothing and are left out. None: 100, or a tenth of the slide's
        median total if that is less.
    table_key
        Name of the table in each slide.

    Returns
    -------
    ``n_top_genes`` gene names, the most variable first.

    Raises
    ------
    KeyError
        A table, layer or column is missing.
    ValueError
        Unknown units, nothing was measured, fewer genes than asked for qualify, or the counts are
        not raw counts.

    Warns
    -----
    UserWarning
        A name stands for different genes, by the ids that the tables keep (``.var["gene_ids"]``
        and the like), and is not chosen.

    Examples
    --------
    >>> import stflow as stf
    >>> genes = stf.pp.select_genes(stf.datasets.synthetic(n_spots=50), n_top_genes=10)
    """
    require_count(n_top_genes, name="n_top_genes")
    counting = Counting(units, layer, total_key, min_counts)
    slides = as_mapping(data)
    tables = {name: get_table(each, table_key, name=name) for name, each in slides.items()}
    return most_variable(tables, n_top_genes, counting=counting)
