"""Public verb: scores of whole slides, one row a slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata.expression import Compared, read_compared, with_common_parts
from stflow._units import Units
from stflow._validation import require_seed
from stflow.tl._evaluate import score_slide, score_whole_slide


def evaluate_slides(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str = _keys.PREDICTION,
    *,
    units: Units | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    genes: Sequence[str] | None = None,
    seed: int = 0,
    table_key: str = _keys.TABLE,
) -> pd.DataFrame:
    """Score a prediction, slide by slide: what :func:`stflow.tl.evaluate` keeps in ``.attrs``.

    Parameters
    ----------
    data, key, units, layer, total_key, min_counts, genes, seed, table_key
        As for :func:`stflow.tl.evaluate`, with the same errors.

    Returns
    -------
    One row a slide (index ``slide``): ``n_spots``, ``n_left_out`` (spots that measured too
    little), ``n_genes``, the mean over genes of each other column of :func:`stflow.tl.evaluate`,
    where it is defined; ``gene_structure`` and ``spot_structure``, how well correlations between
    genes, and between at most 2,000 spots, agree with the measured ones (GSC and SSC); and
    ``gene_correlation_error_mean`` and, with samples, ``gene_correlation_error_samples``: root
    mean squared error of the correlations between genes, over the pairs of genes that vary on the
    slide, measured and predicted.

    Examples
    --------
    >>> stf.tl.evaluate_slides({"C4": c4, "C5": c5}).to_csv("slides.csv")  # doctest: +SKIP
    """
    counting: dict[str, Any] = {"units": units, "total_key": total_key, "min_counts": min_counts}
    require_seed(seed)
    panel, found = read_compared(
        data, key, layer=layer, genes=genes, table_key=table_key, **counting
    )
    rows = {slide.name: _row(slide, panel, seed) for slide in with_common_parts(found)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("slide")


def _row(slide: Compared, genes: Sequence[str], seed: int) -> dict[str, float]:
    scores = score_slide(slide, genes, seed).drop(columns="n_spots")
    sizes = {"n_spots": len(slide.measured), "n_left_out": slide.n_left_out, "n_genes": len(genes)}
    means = {str(name): float(column.mean()) for name, column in scores.items()}
    return {**sizes, **means, **score_whole_slide(slide, seed)}
