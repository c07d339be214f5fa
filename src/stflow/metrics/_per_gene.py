"""Scores as tables with one row a gene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from stflow._units import Units
from stflow.metrics._arrays import as_draws, as_pair, mean_defined
from stflow.metrics._ceiling import ceiling
from stflow.metrics._depth import as_predictor, partial
from stflow.metrics._genes import SCORES, pearson, r2, rmse, spearman
from stflow.metrics._intervals import central_interval, coverage, shifted_interval
from stflow.metrics._spread import crps, crps_gaussian
from stflow.metrics._structure import morans_i, variance, variance_error

LEVELS = (0.5, 0.8, 0.9)


def per_gene(measured: np.ndarray, predicted: np.ndarray, *, genes: Sequence[str]) -> pd.DataFrame:
    """All scores of each gene, with their means over the genes where they are defined.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted expression, shape (N, G).
    genes
        Names of the G columns.

    Returns
    -------
    One row a gene, columns ``pearson``, ``spearman``, ``r2``, ``rmse`` and ``n_spots``. Its
    ``.attrs`` hold the mean of each score over the genes where it is defined (NaN when it is
    nowhere), ``n_undefined`` (for each score, the number of genes left out of that mean) and
    ``n_genes``.

    Raises
    ------
    ValueError
        The arrays are not of one shape (N, G) with N >= 1 and one name a column.

    Examples
    --------
    >>> import numpy as np
    >>> import stflow as stf
    >>> measured = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])
    >>> table = stf.metrics.per_gene(measured, measured[:, ::-1], genes=["ERBB2", "FASN"])
    >>> table.loc["ERBB2", ["pearson", "n_spots"]].tolist()
    [-1.0, 3.0]
    >>> table.attrs["pearson"]  # the mean over genes
    -1.0
    """
    measured, predicted = as_pair(measured, predicted)
    functions = dict(zip(SCORES, (pearson, spearman, r2, rmse), strict=True))
    table = _frame({name: f(measured, predicted) for name, f in functions.items()}, genes)
    table["n_spots"] = measured.shape[0]
    table.attrs.update(means_of(table), n_genes=len(genes))
    return table


def per_gene_spread(
    measured: np.ndarray,
    predicted: np.ndarray,
    *,
    genes: Sequence[str],
    sd: np.ndarray | None = None,
    shift: np.ndarray | float = 0.0,
    df: float = np.inf,
    samples: np.ndarray | None = None,
) -> pd.DataFrame:
    """Scores of the predicted distribution of each gene.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted mean, shape (N, G).
    genes
        Names of the G columns.
    sd
        Predicted standard deviation, shape (N, G).
    shift, df
        Scale and degrees of freedom of the shift that all spots share, which ``sd`` holds; see
        `shifted_interval`.
    samples
        Drawn expression, shape (S, N, G).

    Returns
    -------
    One row a gene. Column ``crps``, of the samples if there are 2 or more, else of a normal
    distribution with ``sd``; with ``sd`` ``coverage_50``, ``coverage_80`` and ``coverage_90``, of
    the central intervals of `shifted_interval`; with samples ``coverage_50_samples`` and so on, of
    those that they are enough for: 3, 9 and 19. No columns without either.

    Raises
    ------
    ValueError
        The arrays do not have these shapes, or an ``sd`` or ``shift`` is negative.
    """
    measured, predicted = as_pair(measured, predicted)
    columns = {}
    if samples is not None and len(samples) > 1:
        columns["crps"] = crps(measured, samples)
    elif sd is not None:
        columns["crps"] = crps_gaussian(measured, predicted, sd)
    if sd is not None:
        for level in LEVELS:
            interval = shifted_interval(predicted, sd, shift=shift, df=df, level=level)
            columns[f"coverage_{100 * level:.0f}"] = coverage(measured, *interval)
    for level in LEVELS:
        if samples is not None and len(samples) + 1 >= 2 / (1 - level) - 1e-9:
            interval = central_interval(samples, level=level)
            columns[f"coverage_{100 * level:.0f}_samples"] = coverage(measured, *interval)
    return _frame(columns, genes)


def per_gene_structure(
    measured: np.ndarray,
    predicted: np.ndarray,
    *,
    genes: Sequence[str],
    samples: np.ndarray | None = None,
    graph: sp.spmatrix | sp.sparray | None = None,
) -> pd.DataFrame:
    """Each gene's variance and Moran's I on one slide, as measured and as predicted.

    Parameters
    ----------
    measured
        Measured expression, shape (N, G).
    predicted
        Predicted mean, shape (N, G).
    genes
        Names of the G columns.
    samples
        Drawn expression, shape (S, N, G).
    graph
        Weights of the neighbours (columns) of each spot (rows), shape (N, N).

    Returns
    -------
    One row a gene, columns ``variance`` (measured), ``variance_mean`` (of the prediction) and
    ``variance_error_mean``; with samples ``variance_samples`` and ``variance_error_samples``, both
    averaged over single samples; with a graph the same of ``morans_i``.

    Raises
    ------
    ValueError
        The arrays do not have these shapes.
    """
    measured, predicted = as_pair(measured, predicted)
    kinds = {"mean": predicted[None]}
    if samples is not None:
        kinds["samples"] = as_draws(measured, samples)[1]
    columns = {"variance": variance(measured)}
    for kind, draws in kinds.items():
        columns[f"variance_{kind}"] = variance(draws).mean(axis=0)
        columns[f"variance_error_{kind}"] = variance_error(measured, draws)
    if graph is not None:
        columns["morans_i"] = morans_i(measured, graph)
        for kind, draws in kinds.items():
            found = morans_i(draws, graph)
            columns[f"morans_i_{kind}"] = mean_defined(found)
            columns[f"morans_i_error_{kind}"] = mean_defined(np.abs(found - columns["morans_i"]))
    return _frame(columns, genes)


def per_gene_depth(
    measured: np.ndarray,
    predicted: np.ndarray,
    *,
    genes: Sequence[str],
    counts: np.ndarray,
    totals: np.ndarray,
    units: Units,
    seed: int,
) -> pd.DataFrame:
    """How much of each gene's score is depth, and how much there was to reach.

    Parameters
    ----------
    measured
        Measured expression in these units, shape (N, G).
    predicted
        Predicted expression in these units, shape (N, G).
    genes
        Names of the G columns.
    counts
        Raw counts, shape (N, G).
    totals
        Total counts of each spot over all genes of its table, shape (N,).
    units
        ``"cp10k"``, log1p of counts per 10,000 of the total, or ``"counts"``, log1p of counts.
    seed
        Seed of the ceiling's splits.

    Returns
    -------
    One row a gene. ``pearson_depth`` is the correlation of the measured expression with log1p of
    the spot's total, ``partial`` that with the prediction, given the same, and ``ceiling`` the
    largest Pearson correlation that counting noise allows.

    Raises
    ------
    ValueError
        The arrays do not have these shapes, the counts or totals are none, or the units unknown.
    """
    measured, predicted = as_pair(measured, predicted)
    if np.shape(counts) != measured.shape:
        raise ValueError(
            f"Counts have shape {np.shape(counts)}, what was measured has {measured.shape}."
        )
    limit = ceiling(counts, totals, units=units, seed=seed)
    depth = np.log1p(np.asarray(totals, dtype=np.float64))
    columns = {
        "pearson_depth": pearson(measured, as_predictor(depth, measured)),
        "partial": partial(measured, predicted, depth),
        "ceiling": limit,
    }
    return _frame(columns, genes)


def means_of(table: pd.DataFrame) -> dict[str, float | dict[str, int]]:
    """Average each column over the rows where it is defined, and count the others.

    Parameters
    ----------
    table
        Scores, with ``n_spots``, which is left out.
    """
    scores = table.drop(columns="n_spots")
    means = {str(name): float(column.mean()) for name, column in scores.items()}
    return {**means, "n_undefined": {str(k): int(v.isna().sum()) for k, v in scores.items()}}


def _frame(columns: dict[str, np.ndarray], genes: Sequence[str]) -> pd.DataFrame:
    for column in columns.values():
        if len(column) != len(genes):
            raise ValueError(f"{len(genes)} gene names for {len(column)} columns.")
    return pd.DataFrame(columns, index=pd.Index(list(genes), name="gene"))
