"""Public verb: fractions of cell types, by signatures of single cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import copied, get_regions, get_table
from stflow._sdata.expression import (
    FRACTIONS,
    Reference,
    read_prediction,
    read_reference,
    record_shift,
    recorded_shares,
)
from stflow._sdata.written import require_new_fractions, write_fractions
from stflow._validation import listing, warn
from stflow.metrics import normal_sd
from stflow.tl._mixture import Mixture
from stflow.tl._samples import Drawing, read_sampled

if TYPE_CHECKING:
    from stflow.model import STFlow

AT_A_TIME = 2**22


def score_cell_types(
    data: SpatialData | AnnData,
    reference: AnnData,
    key: str = _keys.PREDICTION,
    *,
    labels_key: str = "cell_type",
    layer: str | None = None,
    model: STFlow | None = None,
    n_samples: int = 100,
    device: str = "auto",
    seed: int = 0,
    table_key: str = _keys.TABLE,
    embedding_key: str = _keys.EMBEDDING,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    key_added: str | None = None,
    overwrite: bool = False,
    show_progress_bar: bool = True,
    inplace: bool = True,
) -> AnnData | None:
    r"""Estimate what fraction of each spot is of which cell type, and how far that may be off.

    Expression is explained as a mixture of what is typical of each type in single cells: a
    non-negative regression of counts, ``expm1`` of what is predicted, on the types' mean
    expression. Each sample of the prediction is explained by itself, with samples brought to the
    calibrated standard deviation of each gene; mean and quantiles of the fractions over samples
    are the result.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, or its table.
    reference
        Raw counts of single cells x genes, all that were measured, named as those of the model.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    labels_key
        Column of the reference's ``.obs`` with the type of each cell; cells without one are left
        out.
    layer
        Layer of the reference that holds the raw counts; None is ``.X``.
    model, n_samples, device, seed
        As for :func:`stflow.tl.score_genes`: what draws samples, one at a time, instead of reading
        those that were kept.
    table_key
        Name of the table in ``data.tables``.
    embedding_key, coordinate_system
        What ``model`` reads, as in :func:`stflow.tl.predict`.
    key_added
        Name of the fractions; None is ``key + "_cell_types"``.
    overwrite
        Whether to replace fractions of that name.
    show_progress_bar
        Whether to show how far ``model`` is, in layers of the network.
    inplace
        Whether to write to the table or return a copy of it with the fractions.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table:

    ``.obsm[key_added]``
        DataFrame of spots x types: the fraction of the spot's messages that are of cells of a
        type, the mean over samples. Rows add up to 1. A slash in a name is ``%2F`` there.
    ``.obsm[key_added + "_sd"]``
        Its standard deviation.
    ``.obsm[key_added + "_samples"]``
        The fractions of each sample, shape (N, types, ``n_samples``), from which
        :func:`stflow.get.intervals` with ``key=key_added`` takes bounds at any level. They are
        meant to hold the fractions that the same regression finds in measured counts.
    ``.obs[key_added + "_unexplained"]``
        Share of the squares of the mean prediction, weighted as in the regression, that no mixture
        of these types explains: large where something is that the reference lacks.
    ``.uns[key_added]``
        Name of the prediction, ``n_samples``, the types (``genes``), genes of the panel
        that are ``used`` and ``missing``, ``n_cells`` and mean ``cell_counts`` of each type,
        ``similarity`` of their signatures (cosines), ``shift`` and ``shift_df`` of the fractions.

    Raises
    ------
    KeyError
        There is no such table, prediction, column of labels or layer, the prediction has no samples
        or standard deviation, or the reference lacks all genes of the panel.
    TypeError
        The reference is no AnnData.
    ValueError
        The reference holds no raw counts, a gene twice, fewer than two types, a type that expresses
        no gene of the panel, or more types than genes; there is one sample alone, something that is
        read is not finite, or ``key_added`` is taken or read here.

    Warns
    -----
    UserWarning
        The genes hardly tell two types apart, genes of the panel are not in the reference, the
        reference lacks genes that hold more than 5 % of the counts, cells have no label, a type has
        fewer than 10 cells, or there are fewer than 100 samples.

    See Also
    --------
    stflow.get.intervals : Bounds of fractions.
    stflow.tl.score_genes : Scores of gene sets, which need no reference.

    Notes
    -----
    With the mean expression :math:`s_{gk}` of gene :math:`g` in cells of type :math:`k`, the
    amounts :math:`\beta` of a spot with expression :math:`x` minimise
    :math:`\sum_g w_g^2 (x_g - \sum_k s_{gk} \beta_k)^2` under :math:`\beta \ge 0` [1]_, and
    fractions are :math:`\beta_k / \sum_k \beta_k`. Counts scatter as much as they are many, so
    :math:`w_g^{-2}` is the mean of :math:`s_g` over types, plus a tenth of the median of these
    means over genes. Fractions do not depend on a spot's depth, in either units.

    They are of messages: a large cell counts more than a small one. Fractions over ``cell_counts``,
    brought to add up to 1, are of cells, if cells of a type are as large as in the reference.

    References
    ----------
    .. [1] Lawson and Hanson, "Solving Least Squares Problems", SIAM (1995),
       doi:10.1137/1.9781611971217.

    Examples
    --------
    >>> stf.tl.predict(sdata, model, n_samples=100, keep_samples=True)  # doctest: +SKIP
    >>> stf.tl.score_cell_types(sdata, cells, labels_key="cell_type")  # doctest: +SKIP
    >>> lower, upper = stf.get.intervals(sdata, key="stflow_cell_types")  # doctest: +SKIP
    """
    table, where = get_table(data, table_key), f"table {table_key!r}"
    name = _keys.cell_types(key) if key_added is None else key_added
    require_new_fractions(table, name, key, overwrite=overwrite, where=f"Table {table_key!r}")
    panel = list(read_prediction(table, key, where=where).columns)
    shares = recorded_shares(table, key)
    known = read_reference(reference, labels_key, panel, layer=layer, shares=shares)
    mixture = Mixture(known.signatures)
    drawing = Drawing(
        model, n_samples, device, seed, embedding_key, coordinate_system, show_progress_bar
    )
    found = read_sampled(data, key, drawing, table_key=table_key, where=where)
    _warn_of_genes(known, panel, mixture)
    at = found.mean.columns.get_indexer(pd.Index(known.genes))
    amounts = _amounts(found.mean.to_numpy(), at)
    drawn = np.stack([_fractions(sample, at, mixture) for sample in found.samples])
    target = table if inplace else copied(table)
    write_fractions(
        target,
        name,
        known.types,
        drawn=drawn,
        unexplained=mixture.unexplained(amounts),
        info={
            "prediction": key,
            "units": FRACTIONS,
            "n_samples": found.n_samples,
            "used": np.array(known.genes, dtype=str),
            "missing": np.array([gene for gene in panel if gene not in known.genes], dtype=str),
            "n_cells": known.n_cells,
            "cell_counts": known.cell_counts,
            "similarity": mixture.similarity,
            **record_shift(_shared_sd(drawn, table) / normal_sd(found.spread.df), found.spread.df),
        },
    )
    return None if inplace else target


def _warn_of_genes(found: Reference, panel: list[str], mixture: Mixture) -> None:
    lost = [gene for gene in panel if gene not in found.genes]
    if lost:
        warn(
            f"{len(lost)} of {len(panel)} genes of the panel are not in the reference, or in no "
            f"cell of it, and not used: {listing(lost)}."
        )
    pairs = [
        f"{found.types[i]} and {found.types[j]} ({cosine:.2f})"
        for i, j, cosine in mixture.pairs_alike
    ]
    if pairs:
        warn(
            f"The {len(found.genes)} genes hardly tell some types apart (cosine of what is typical "
            f"of them): {listing(pairs)}. Read the sum of their fractions alone, join them in the "
            "reference, or predict more genes."
        )


def _fractions(sample: np.ndarray, genes: np.ndarray, mixture: Mixture) -> np.ndarray:
    """Explain a sample (N, G) by some genes, float32, shape (N, K)."""
    blocks = np.array_split(sample, max(1, sample.size // AT_A_TIME))
    parts = [mixture.fractions(_amounts(block, genes)) for block in blocks]
    return np.concatenate(parts, dtype=np.float32)


def _amounts(logged: np.ndarray, genes: np.ndarray) -> np.ndarray:
    return np.expm1(logged[:, genes].clip(min=0).astype(np.float64))


def _shared_sd(drawn: np.ndarray, table: AnnData) -> np.ndarray:
    """Spread of the mean over a region, which its spots share, of samples (S, N, K); shape (K,)."""
    regions = [region.rows for region in get_regions(table)]
    means = [drawn[:, rows].mean(1, dtype=np.float64) for rows in regions]
    return np.sqrt(np.mean([each.var(0, ddof=1) for each in means], axis=0))
