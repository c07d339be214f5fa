"""Scores of a prediction against the counts of the same spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._read import (
    read_log_counts,
    read_prediction,
    require_gene_list,
    require_genes,
)
from stflow._sdata._tables import get_table
from stflow._validation import listing
from stflow.metrics import score_genes


def evaluate(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str = _keys.PREDICTION,
    *,
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    table_key: str = _keys.TABLE,
) -> pd.DataFrame:
    """Score a prediction, gene by gene, against the measured expression of the same spots.

    The prediction is ``.obsm[key]``, or else ``.layers[key]`` (genes that are NaN throughout are
    outside the panel). It is compared with log1p of the raw counts. Nothing is written.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, its table, or several slides by
        name, whose spots are pooled.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    layer
        Layer that holds the raw counts; None is ``.X``.
    genes
        Genes to score; None is all of the prediction's.
    table_key
        Name of the table in each ``data.tables``.

    Returns
    -------
    One row a gene (index ``gene``), columns ``pearson``, ``spearman``, ``r2``, ``rmse`` (log1p
    counts) and ``n_spots``. A score that is undefined, as the correlation of a gene that no spot
    expresses, is NaN. ``.attrs`` holds the mean of each score over the genes where it is defined,
    ``n_undefined`` (a dict: how many genes each mean leaves out) and ``n_genes``.

    Raises
    ------
    KeyError
        The table, prediction or layer is missing, or some genes are not in all slides.
    TypeError
        ``data`` holds something else, or ``.obsm[key]`` is not a DataFrame.
    ValueError
        Nothing was measured, the counts are not raw counts, the prediction holds NaN or infinite
        values, or the slides were predicted for different genes.

    Examples
    --------
    >>> scores = stf.tl.evaluate(test)  # doctest: +SKIP
    >>> scores.attrs["pearson"]  # doctest: +SKIP
    """
    slides = dict(data) if isinstance(data, Mapping) else {"": data}
    if not slides:
        raise ValueError("`data` is an empty dict; pass at least one slide.")
    tables = {_where(name, table_key): get_table(one, table_key) for name, one in slides.items()}
    frames = {where: read_prediction(table, key, where=where) for where, table in tables.items()}
    panel = _common_panel(frames) if genes is None else require_gene_list(genes)
    for where, frame in frames.items():
        require_genes(panel, frame.columns, what=f"the predicted genes of {where}")
    measured = [
        read_log_counts(table, panel, layer=layer, where=where) for where, table in tables.items()
    ]
    predicted = [frame[panel].to_numpy(dtype=np.float64) for frame in frames.values()]
    return score_genes(np.concatenate(measured), np.concatenate(predicted), genes=panel)


def _where(name: str, table_key: str) -> str:
    return f"table {table_key!r} of slide {name!r}" if name else f"table {table_key!r}"


def _common_panel(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the genes of the first prediction, which every other must share."""
    first, *others = frames
    panel = frames[first].columns
    for where in others:
        odd = panel.symmetric_difference(frames[where].columns)
        if len(odd):
            raise ValueError(
                f"{first} and {where} were predicted for different genes; only one has "
                f"{listing(odd)}. Name genes of both with `genes=`."
            )
    return list(panel)
