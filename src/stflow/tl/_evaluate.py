"""Scores of a prediction against the counts of the same spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata.expression import Compared, read_compared, with_common_parts
from stflow.metrics import (
    gene_correlation_error,
    means_of,
    per_gene,
    per_gene_spread,
    per_gene_structure,
)


def evaluate(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str = _keys.PREDICTION,
    *,
    per_slide: bool = False,
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    table_key: str = _keys.TABLE,
) -> pd.DataFrame:
    """Score a prediction, gene by gene, against the measured expression of the same spots.

    The prediction is ``.obsm[key]``, or else ``.layers[key]`` (genes that are NaN throughout are
    outside the panel). It is compared with log1p of the raw counts. Spots whose counts
    :func:`stflow.tl.predict` was given as ``observed``, ``.obs[key + "_observed"]``, are no
    predictions and are left out, and slides with no others. Nothing is written.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, its table, or several slides by
        name. Each element that a table annotates is a slide.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    per_slide
        Whether each slide has rows of its own, or its spots are pooled with those of the others.
    layer
        Layer that holds the raw counts; None is ``.X``.
    genes
        Genes to score; None is all of the prediction's.
    table_key
        Name of the table in each ``data.tables``.

    Returns
    -------
    One row a gene (index ``gene``), or one a slide and gene (index ``slide``, ``gene``). What all
    slides have decides the columns:

    ``pearson``, ``spearman``, ``r2``, ``rmse``, ``n_spots``
        Scores of the mean prediction, in log1p counts, and the number of spots scored.
    ``variance``, ``variance_mean``, ``variance_error_mean``
        Variance over the spots as measured and as the mean prediction has it, and the absolute
        difference as a share of the measured one.
    ``morans_i``, ``morans_i_mean``, ``morans_i_error_mean``
        With a graph of :func:`stflow.pp.neighbors`: Moran's I as measured and as the mean
        prediction has it, and the absolute difference.
    ``crps``
        With a standard deviation, ``.obsm[key + "_sd"]``, or samples, ``.obsm[key + "_samples"]``:
        continuous ranked probability score in log1p counts, from the samples if there are at
        least 2, else of a normal distribution around the mean prediction.
    ``coverage_50``, ``coverage_80``, ``coverage_90``
        With a standard deviation: share of the spots inside the central 50, 80 and 90 % of that
        normal distribution.
    ``coverage_50_samples``, ``coverage_80_samples``, ``coverage_90_samples``
        With 3, 9 and 19 samples: the same of the samples' own central intervals.
    ``variance_samples``, ``variance_error_samples``, ``morans_i_samples``, \
``morans_i_error_samples``
        With samples: the same as of the mean prediction, for single samples, then averaged.

    A value that is undefined, as the correlation of a gene that no spot expresses, is NaN.
    ``.attrs`` holds the mean of each column over the rows where it is defined, ``n_undefined`` (a
    dict: how many rows each mean leaves out), ``n_genes``, ``n_slides``, and
    ``gene_correlation_error_mean`` and ``gene_correlation_error_samples``: the root mean squared
    error of the correlations between genes, over the pairs of genes that vary on the slide,
    measured and predicted. Variances, Moran's I and correlations between genes are computed
    within each slide and averaged over the slides where they are defined.

    Raises
    ------
    KeyError
        The table, prediction or layer is missing, or some genes are not in all slides.
    TypeError
        ``data`` holds something else, or ``.obsm[key]`` is not a DataFrame.
    ValueError
        Nothing was measured, the counts are not raw counts, the prediction, its standard
        deviation or its samples hold NaN or infinite values or do not fit each other, the
        slides were predicted for different genes, or all spots were observed.

    See Also
    --------
    stflow.pl.calibration : Coverage of intervals of all widths.

    Examples
    --------
    >>> scores = stf.tl.evaluate(test)  # doctest: +SKIP
    >>> scores.attrs["pearson"]  # doctest: +SKIP
    """
    panel, found = read_compared(data, key, layer=layer, genes=genes, table_key=table_key)
    slides = with_common_parts(found)
    apart = pd.concat(
        {slide.name: score_slide(slide, panel) for slide in slides}, names=["slide", "gene"]
    )
    table = apart if per_slide else _pool(slides, apart, panel)
    table.attrs.clear()
    table.attrs.update(means_of(table), n_genes=len(panel), n_slides=len(slides))
    table.attrs.update(_correlation_errors(slides))
    return table


def score_slide(slide: Compared, genes: Sequence[str]) -> pd.DataFrame:
    pair = slide.measured, slide.predicted
    parts = [
        per_gene(*pair, genes=genes),
        per_gene_spread(*pair, genes=genes, sd=slide.sd, samples=slide.samples),
        per_gene_structure(*pair, genes=genes, samples=slide.samples, graph=slide.graph),
    ]
    return pd.concat(parts, axis=1)


def _pool(slides: Sequence[Compared], apart: pd.DataFrame, genes: Sequence[str]) -> pd.DataFrame:
    """Score the spots of all slides together, and average what belongs to a slide over them."""
    together = per_gene(
        np.concatenate([slide.measured for slide in slides]),
        np.concatenate([slide.predicted for slide in slides]),
        genes=genes,
    )
    others = apart.drop(columns=together.columns)
    of_spots = list(others.filter(regex="^(crps|coverage_.*)$"))
    weights = apart["n_spots"] / sum(len(slide.measured) for slide in slides)
    spread = others[of_spots].mul(weights, axis=0).groupby(level="gene", sort=False).sum()
    structure = others.drop(columns=of_spots).groupby(level="gene", sort=False).mean()
    return pd.concat([together, spread, structure], axis=1)


def _correlation_errors(slides: Sequence[Compared]) -> dict[str, float]:
    """Average the errors of the correlations between genes over the slides that have one."""
    errors: dict[str, list[float]] = {"mean": [], "samples": []}
    for slide in slides:
        errors["mean"].append(gene_correlation_error(slide.measured, slide.predicted))
        if slide.samples is not None:
            errors["samples"].append(gene_correlation_error(slide.measured, slide.samples))
    return {
        f"gene_correlation_error_{kind}": float(pd.Series(values, dtype=float).mean())
        for kind, values in errors.items()
        if values
    }
