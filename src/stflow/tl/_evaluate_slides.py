"""Public verb: scores of whole slides, one row a slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata.expression import Compared, read_compared, with_common_parts
from stflow.metrics import gene_correlation_error
from stflow.tl._evaluate import score_slide


def evaluate_slides(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str = _keys.PREDICTION,
    *,
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    table_key: str = _keys.TABLE,
) -> pd.DataFrame:
    """Score a prediction, slide by slide: what :func:`stflow.tl.evaluate` keeps in ``.attrs``.

    Parameters
    ----------
    data, key, layer, genes, table_key
        As for :func:`stflow.tl.evaluate`, with the same errors.

    Returns
    -------
    One row a slide (index ``slide``): ``n_spots``, ``n_genes``, the mean over genes of each other
    column of :func:`stflow.tl.evaluate`, where it is defined; and ``gene_correlation_error_mean``
    and, with samples, ``gene_correlation_error_samples``: root mean squared error of the
    correlations between genes, over the pairs of genes that vary on the slide, measured and
    predicted.

    Examples
    --------
    >>> stf.tl.evaluate_slides({"C4": c4, "C5": c5}).to_csv("slides.csv")  # doctest: +SKIP
    """
    panel, found = read_compared(data, key, layer=layer, genes=genes, table_key=table_key)
    rows = {slide.name: _row(slide, panel) for slide in with_common_parts(found)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("slide")


def _row(slide: Compared, genes: Sequence[str]) -> dict[str, float]:
    scores = score_slide(slide, genes).drop(columns="n_spots")
    row: dict[str, float] = {"n_spots": len(slide.measured), "n_genes": len(genes)}
    row |= {str(name): float(column.mean()) for name, column in scores.items()}
    for kind, drawn in (("mean", slide.predicted), ("samples", slide.samples)):
        if drawn is not None:
            row[f"gene_correlation_error_{kind}"] = gene_correlation_error(slide.measured, drawn)
    return row
