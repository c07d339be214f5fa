"""What a page is about, read and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import tl
from stflow._sdata import has_images
from stflow._sdata.expression import (
    counting_of,
    has_counts,
    read_measured,
    require_gene_list,
    require_genes,
)
from stflow._sdata.reported import (
    Canvas,
    Prediction,
    Scores,
    find_table,
    marked_shares,
    read_canvas,
    read_scores,
    read_spots,
    read_told,
)
from stflow._units import are_enough
from stflow._validation import told

PIXELS = 1100
MOST_GENES = 24


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A slide and what is known of it.

    Parameters
    ----------
    canvas
        The slide as pictures show it.
    table
        Its spots, None where there are none.
    covered
        How much of each spot lies on artifacts, shape (N,), or None.
    prediction, sets
        What was predicted, and scores of gene sets; None where there are none.
    scores
        The prediction against counts, as `evaluate` gives it; None where it cannot be.
    unscored
        Why not; empty where nothing was measured.
    counting
        How counts are read, where they can be compared; else None.
    """

    canvas: Canvas
    table: AnnData | None = None
    covered: np.ndarray | None = None
    prediction: Prediction | None = None
    sets: Scores | None = None
    scores: pd.DataFrame | None = None
    unscored: str = ""
    counting: dict[str, Any] | None = None


def read_subject(
    sdata: SpatialData,
    key: str,
    *,
    table_key: str,
    image_key: str | None,
    image_mpp: float | None,
    shapes_key: str | None,
    layer: str | None,
    total_key: str | None,
) -> Subject:
    """Read a slide; see `report`."""
    where = f"table {table_key!r}"
    table = find_table(sdata, table_key)
    spots = None if table is None else read_spots(table, shapes_key)
    prediction = None if spots is None else read_told(spots, key, where=where)
    if prediction is None and not has_images(sdata):
        raise ValueError(
            f"There is nothing to report: no image, and no prediction {key!r} in {where}. Read a "
            "slide, as with `stf.io.read_wsi`, or run `stf.tl.predict` first."
        )
    canvas = read_canvas(
        sdata,
        None if spots is None else spots.table,
        None if spots is None else spots.region,
        image_key=image_key,
        image_mpp=image_mpp,
        n_pixels=PIXELS,
    )
    if spots is None:
        return Subject(canvas)
    counting: dict[str, Any] = {"layer": layer, "total_key": total_key}
    scores, unscored = None, ""
    if prediction is not None and has_counts(spots.table, layer):
        scores, unscored = _score(spots.table, key, counting)
    return Subject(
        canvas=canvas,
        table=spots.table,
        covered=marked_shares(spots.table),
        prediction=prediction,
        sets=read_scores(spots.table, key, where=where),
        scores=scores,
        unscored=unscored,
        counting=counting if scores is not None else None,
    )


def _score(table: AnnData, key: str, counting: dict[str, Any]) -> tuple[pd.DataFrame | None, str]:
    """Score a prediction, or tell why that cannot be."""
    try:
        return tl.evaluate(table, key, **counting), ""
    except (KeyError, ValueError) as error:
        return None, told(error)


def read_expression(subject: Subject, key: str, genes: Sequence[str]) -> np.ndarray | None:
    """Return what was measured of genes, shape (N, G), NaN at spots that measured too little."""
    if subject.table is None or subject.counting is None:
        return None
    where = "the table"
    how, over = counting_of(subject.table, key, where=where, **subject.counting)
    found = read_measured(subject.table, list(genes), how, where=where, over=over)
    values = found.expression
    values[~are_enough(found.totals, how.min_counts)] = np.nan
    return values


def certainty(prediction: Prediction) -> pd.Series:
    """Share of the variance of each gene that a prediction expects to explain.

    It is the variance of the mean over that and the mean squared standard deviation, 0 to 1; of a
    prediction without one, the squared correlation on held-out slides, NaN where that is unknown.
    """
    if prediction.sd is None:
        if prediction.trust is None:
            return pd.Series(np.nan, prediction.mean.columns)
        return prediction.trust["pearson"].clip(lower=0) ** 2
    signal = prediction.mean.var(ddof=0).astype(float)
    noise = (prediction.sd**2).mean().astype(float)
    return (signal / (signal + noise).where(lambda total: total > 0)).fillna(0.0)


def choose_genes(
    prediction: Prediction, genes: Sequence[str] | None, n_each: int
) -> tuple[list[str], list[str]]:
    """Return the genes that are asked for, or the most and the least certain ones.

    Raises
    ------
    KeyError
        A gene was not predicted.
    ValueError
        There are none, one twice, or more than a page shows.
    """
    if genes is not None:
        names = require_gene_list(genes)
        if len(names) > MOST_GENES:
            raise ValueError(f"`genes` names {len(names)} genes; a page shows {MOST_GENES}.")
        require_genes(names, prediction.mean.columns, what="the predicted genes")
        return names, []
    ranked = list(certainty(prediction).sort_values(ascending=False, kind="stable").index)
    most = ranked[: min(n_each, (len(ranked) + 1) // 2)]
    return most, ranked[len(most) :][-n_each:]
