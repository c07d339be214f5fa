"""Scores of a prediction against the counts of the same spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata.expression import Compared, read_compared, with_common_parts
from stflow._units import Units
from stflow._validation import require_seed
from stflow.metrics import (
    gene_correlation_error,
    gene_structure_correlation,
    means_of,
    per_gene,
    per_gene_depth,
    per_gene_spread,
    per_gene_structure,
    spot_structure_correlation,
)


def evaluate(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str = _keys.PREDICTION,
    *,
    per_slide: bool = False,
    units: Units | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    genes: Sequence[str] | None = None,
    seed: int = 0,
    table_key: str = _keys.TABLE,
) -> pd.DataFrame:
    """Score a prediction, gene by gene, against the measured expression of the same spots.

    The prediction is ``.obsm[key]``, or else ``.layers[key]`` (genes that are NaN throughout are
    outside the panel). It is compared with the counts, brought to its units. Spots whose counts
    :func:`stflow.tl.predict` was given as ``observed``, ``.obs[key + "_observed"]``, are no
    predictions and are left out, as are spots that measured too little, and slides with no
    others. Nothing is written.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, its table, or several slides by
        name. Each element that a table annotates is a slide.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    per_slide
        Whether each slide has rows of its own, or its spots are pooled with those of the others.
    units
        Units of a prediction of which ``.uns[key]`` does not tell: ``"cp10k"``, log1p of counts
        per 10,000 of a spot's total, or ``"counts"``. None: what it tells.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot, of tables that lack genes of the
        fit. None: the sum over these.
    min_counts
        Spots of fewer counts are not scored. None: as in the fit, or else 100, or a tenth of the
        slide's median total if that is less.
    genes
        Genes to score; None is all of the prediction's.
    seed
        Seed of the thinning that tells the ceiling, and of spots that are drawn.
    table_key
        Name of the table in each ``data.tables``.

    Returns
    -------
    One row a gene (index ``gene``), or one a slide and gene (index ``slide``, ``gene``). What all
    slides have decides the columns:

    ``pearson``, ``spearman``, ``r2``, ``rmse``, ``n_spots``
        Scores of the mean prediction, in its units, and the number of spots scored.
    ``pearson_depth``, ``partial``, ``ceiling``
        How much of a score is depth: the correlation with log1p of the spot's total counts, which
        is a yardstick and no method, as a new slide has no counts; that with the prediction given
        the same; and the largest that counting noise allows, by binomial thinning.
    ``variance``, ``variance_mean``, ``variance_error_mean``
        Variance over the spots as measured and as the mean prediction has it, and the absolute
        difference as a share of the measured one.
    ``morans_i``, ``morans_i_mean``, ``morans_i_error_mean``
        With a graph of :func:`stflow.pp.neighbors`: Moran's I as measured and as the mean
        prediction has it, and the absolute difference.
    ``crps``
        With a standard deviation, ``.obsm[key + "_sd"]``, or samples, ``.obsm[key + "_samples"]``:
        continuous ranked probability score in the same units, from the samples if there are at
        least 2, else of a normal distribution around the mean prediction.
    ``coverage_50``, ``coverage_80``, ``coverage_90``
        With a standard deviation: share of the spots inside the central intervals of 50, 80 and
        90 %, as :func:`stflow.get.intervals` has them.
    ``coverage_50_samples``, ``coverage_80_samples``, ``coverage_90_samples``
        With 3, 9 and 19 samples: the same of the samples' own central intervals.
    ``variance_samples``, ``variance_error_samples``, ``morans_i_samples``, \
``morans_i_error_samples``
        With samples: the same as of the mean prediction, for single samples, then averaged.

    A value that is undefined, as the correlation of a gene that no spot expresses, is NaN.
    ``.attrs`` holds the mean of each column over the rows where it is defined, ``n_undefined`` (a
    dict: how many rows each mean leaves out), ``n_genes``, ``n_slides``, ``n_left_out`` (spots
    that measured too little), ``units``, ``trained_on`` (slides that the model was trained on),
    and of whole slides, as :func:`stflow.tl.evaluate_slides` has them, ``gene_structure`` and
    ``spot_structure``, ``gene_correlation_error_mean`` and ``gene_correlation_error_samples``: the
    root mean squared error of the correlations between genes, over the pairs of genes that vary on
    the slide, measured and predicted. Variances, Moran's I and correlations between genes are
    computed within each slide and averaged over the slides where they are defined.

    Raises
    ------
    KeyError
        The table, prediction, layer or column is missing, or some genes are not in all slides.
    TypeError
        ``data`` holds something else, or ``.obsm[key]`` is not a DataFrame.
    ValueError
        Nothing was measured, the counts are not raw counts, the prediction, its standard
        deviation, shift or samples hold NaN or infinite values or do not fit each other, the
        slides were predicted for different genes or units, nothing tells these or they are not
        those that are given, a table lacks genes that hold more than 5 % of the counts of the
        fit, or all spots were observed or measured too little.

    Warns
    -----
    UserWarning
        The model was trained on one of the slides.

    See Also
    --------
    stflow.get.intervals : The intervals themselves.
    stflow.pl.calibration : Coverage of intervals of all widths.

    Examples
    --------
    >>> scores = stf.tl.evaluate(test)  # doctest: +SKIP
    >>> scores.attrs["pearson"]  # doctest: +SKIP
    """
    counting: dict[str, Any] = {"units": units, "total_key": total_key, "min_counts": min_counts}
    require_seed(seed)
    panel, found = read_compared(
        data, key, layer=layer, genes=genes, table_key=table_key, **counting
    )
    slides = with_common_parts(found)
    apart = pd.concat(
        {slide.name: score_slide(slide, panel, seed) for slide in slides}, names=["slide", "gene"]
    )
    table = apart if per_slide else _pool(slides, apart, panel, seed)
    table.attrs.clear()
    table.attrs.update(means_of(table), n_genes=len(panel), n_slides=len(slides))
    table.attrs.update(
        n_left_out=sum(slide.n_left_out for slide in slides),
        units=slides[0].units,
        trained_on=[slide.name for slide in slides if slide.seen],
        **_of_whole_slides(slides, seed),
    )
    return table


def score_slide(slide: Compared, genes: Sequence[str], seed: int) -> pd.DataFrame:
    pair = slide.measured, slide.predicted
    spread: dict[str, Any] = {"sd": slide.sd, "shift": slide.shift, "df": slide.df}
    parts = [
        _score_spots([slide], genes, seed),
        per_gene_spread(*pair, genes=genes, **spread, samples=slide.samples),
        per_gene_structure(*pair, genes=genes, samples=slide.samples, graph=slide.graph),
    ]
    return pd.concat(parts, axis=1)


def _score_spots(slides: Sequence[Compared], genes: Sequence[str], seed: int) -> pd.DataFrame:
    """Score the spots of all slides together, and tell what of it is depth."""
    measured, predicted, counts, totals = (
        np.concatenate([getattr(slide, part) for slide in slides])
        for part in ("measured", "predicted", "counts", "totals")
    )
    how: dict[str, Any] = {"genes": genes, "counts": counts, "totals": totals}
    scores = per_gene(measured, predicted, genes=genes)
    depth = per_gene_depth(measured, predicted, units=slides[0].units, seed=seed, **how)
    return pd.concat([scores, depth], axis=1)


def _pool(
    slides: Sequence[Compared], apart: pd.DataFrame, genes: Sequence[str], seed: int
) -> pd.DataFrame:
    """Score the spots of all slides together, and average what belongs to a slide over them."""
    together = _score_spots(slides, genes, seed)
    others = apart.drop(columns=together.columns)
    of_spots = list(others.filter(regex="^(crps|coverage_.*)$"))
    weights = apart["n_spots"] / sum(len(slide.measured) for slide in slides)
    spread = others[of_spots].mul(weights, axis=0).groupby(level="gene", sort=False).sum()
    structure = others.drop(columns=of_spots).groupby(level="gene", sort=False).mean()
    return pd.concat([together, spread, structure], axis=1)


def _of_whole_slides(slides: Sequence[Compared], seed: int) -> dict[str, float]:
    """Average the scores of whole slides over those that have one."""
    rows = [score_whole_slide(slide, seed) for slide in slides]
    return {str(name): float(column.mean()) for name, column in pd.DataFrame(rows).items()}


def score_whole_slide(slide: Compared, seed: int) -> dict[str, float]:
    pair = slide.measured, slide.predicted
    found = {
        "gene_structure": gene_structure_correlation(*pair),
        "spot_structure": spot_structure_correlation(*pair, seed=seed),
        "gene_correlation_error_mean": gene_correlation_error(*pair),
    }
    if slide.samples is not None:
        error = gene_correlation_error(slide.measured, slide.samples)
        found["gene_correlation_error_samples"] = error
    return found
