"""Scores of genes: of one prediction, of several side by side, or of methods fold by fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import get_table
from stflow._sdata.expression import read_trust
from stflow._units import LABELS
from stflow._validation import require_choice, require_key
from stflow.pl._colours import BLACK, BLUE, ORANGE, VERMILION
from stflow.pl._figure import finish, one_axes
from stflow.pl._folds import draw_folds, fold_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {
    "pearson": "Pearson",
    "partial": "partial Pearson, given depth",
    "spearman": "Spearman",
    "r2": "R²",
    "rmse": "RMSE",
    "crps": "CRPS",
}
_ERRORS = ("rmse", "crps")
_MARKS = {
    "ceiling": ("|", BLACK, "ceiling of counting noise"),
    "pearson_depth": ("x", VERMILION, "depth alone"),
}
_FDR = 0.05
_MOST_NAMED = 100


def scores(
    scores: pd.DataFrame | Mapping[str, pd.DataFrame] | SpatialData | AnnData,
    *,
    metric: str = "pearson",
    key: str = _keys.PREDICTION,
    table_key: str = _keys.TABLE,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> Axes | None:
    """Draw the score of every gene, or the scores of several methods side by side.

    Genes whose score is undefined are left out, and their number is said. Beside a Pearson
    correlation stand the ceiling that counting noise sets and the correlation with depth alone,
    where they are known; genes that cannot be told from chance are drawn as rings. Of more than
    100 genes, some are named.

    Parameters
    ----------
    scores
        What :func:`stflow.tl.evaluate` returned, the ``trust`` of a model, or a slide or table
        that :func:`stflow.tl.predict` has written this trust to: genes are drawn as dots, best
        first, with their mean. Or several frames by name, or one with ``per_slide=True``: each, or
        each slide, is drawn as a box with a dot for every gene. Or what
        :func:`stflow.tl.cross_validate` returned: a line for each fold joins the means of the
        methods, over the genes of which all methods have a score.
    metric
        Column to draw: ``"pearson"``, ``"partial"``, ``"spearman"``, ``"r2"``, ``"rmse"`` or
        ``"crps"``.
    key
        Name of the prediction whose trust a slide tells (the ``key_added`` of
        :func:`stflow.tl.predict`).
    table_key
        Name of the table in a slide.
    figsize
        Width and height of the figure in inches; None follows from what is drawn.
    dpi
        Dots per inch of the figure; None is matplotlib's.
    title
        Title of the axes.
    ax
        Axes to draw in; None makes a new figure.
    show
        Whether to show the figure; None shows it where that is possible, unless ``save``,
        ``return_ax`` or ``ax`` is given.
    save
        File to write the figure to.
    return_ax
        Whether to return the axes even when the figure is shown.

    Returns
    -------
    The axes, if they were asked for or the figure was not shown; else None.

    Raises
    ------
    KeyError
        A DataFrame has no column ``metric``, or a slide has no such table or tells no trust.
    TypeError
        What is given is something else.
    ValueError
        ``metric`` is none of the scores, a method has two scores for a gene of a fold, or there is
        nothing to draw.

    Examples
    --------
    >>> stf.pl.scores(stf.tl.evaluate(test))  # doctest: +SKIP
    >>> stf.pl.scores(test)  # doctest: +SKIP
    >>> stf.pl.scores(stf.tl.cross_validate(slides))  # doctest: +SKIP
    """
    require_choice(metric, _LABELS, name="metric")
    if isinstance(scores, SpatialData | AnnData):
        scores = read_trust(get_table(scores, table_key), key, where=f"table {table_key!r}")
    label = _label(metric, [scores] if isinstance(scores, pd.DataFrame) else scores.values())
    style: dict[str, Any] = {"dpi": dpi, "title": title}
    if isinstance(scores, pd.DataFrame) and {"fold", "method", "gene"} <= set(scores):
        means, n_lost = fold_means(scores.assign(**{metric: _column(scores, metric)}), metric)
        axes = one_axes(ax, figsize=figsize or (2.6 + 1.1 * means.shape[1], 4.0), **style)
        draw_folds(axes, means, label + _undefined(n_lost))
        return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)
    columns = _columns(scores, metric)
    if isinstance(scores, pd.DataFrame) and list(columns) == [""]:
        height = 1.2 + 0.17 * min(len(columns[""]), _MOST_NAMED)
        axes = one_axes(ax, figsize=figsize or (4.5, height), **style)
        _draw_genes(axes, columns[""], metric, label, scores)
    else:
        axes = one_axes(ax, figsize=figsize or (1.6 + 1.1 * len(columns), 4.0), **style)
        _draw_methods(axes, columns, label)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)


def _columns(
    scores: pd.DataFrame | Mapping[str, pd.DataFrame], metric: str
) -> dict[str, pd.Series]:
    """Return the scores of genes by method or slide; of a single frame, by the name ``""``."""
    frames: dict[str, pd.DataFrame] = {}
    if not isinstance(scores, pd.DataFrame):
        frames = {str(name): frame for name, frame in scores.items()}
    elif scores.index.nlevels > 1:
        frames = {str(name): part.droplevel(0) for name, part in scores.groupby(level=0)}
    else:
        frames = {"": scores}
    if not frames:
        raise ValueError("`scores` is an empty dict; pass at least one DataFrame.")
    return {name: _column(frame, metric) for name, frame in frames.items()}


def _label(metric: str, frames: Iterable[pd.DataFrame]) -> str:
    """Name a score, and of an error the units where all frames tell the same."""
    told = {getattr(frame, "attrs", {}).get("units") for frame in frames}
    units = LABELS.get(str(told.pop())) if metric in _ERRORS and len(told) == 1 else None
    return f"{_LABELS[metric]} in {units}" if units else _LABELS[metric]


def _column(frame: pd.DataFrame, metric: str) -> pd.Series:
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"Expected what `stf.tl.evaluate` returned, not {type(frame).__name__}.")
    require_key(metric, frame.columns, what="column", hint="Pass what `stf.tl.evaluate` returned.")
    values = frame[metric]
    if values.notna().sum() == 0:
        raise ValueError(f"{metric!r} is undefined for every gene; there is nothing to draw.")
    return values


def _undefined(number: int) -> str:
    """Say how many genes are left out, when there are any."""
    return f" ({number} undefined)" if number else ""


def _draw_genes(ax: Axes, values: pd.Series, metric: str, label: str, frame: pd.DataFrame) -> None:
    """Draw dots from best (top) to worst, on stems from zero, with the mean as a line."""
    drawn = values.dropna().sort_values(ascending=metric not in _ERRORS)
    height = np.arange(len(drawn))
    mean = float(drawn.mean())
    ax.hlines(height, 0.0, drawn, color="0.8", linewidth=1.5)
    ax.plot(drawn, height, "o", markersize=4.5, color=BLUE, label="prediction")
    if metric == "pearson":
        _draw_marks(ax, frame.loc[drawn.index], drawn, height)
    ax.axvline(0.0, color="0.5", linewidth=0.8)
    ax.axvline(mean, color=ORANGE, linestyle="--", zorder=1)
    named = np.unique(np.linspace(0, len(drawn) - 1, min(len(drawn), _MOST_NAMED)).astype(int))
    ax.set_yticks(named, list(drawn.index[named].astype(str)), fontsize=8)
    ax.set_ylim(-0.7, len(drawn) - 0.3)
    ax.set_xlabel(f"{label}, mean {mean:.2f}{_undefined(int(values.isna().sum()))}")


def _draw_marks(ax: Axes, frame: pd.DataFrame, drawn: pd.Series, height: np.ndarray) -> None:
    """Draw what a correlation is to be compared with, and which may be chance."""
    for name, (marker, color, label) in _MARKS.items():
        if name in frame:
            ax.plot(frame[name], height, marker, color=color, markersize=6, label=label)
    if "fdr" in frame:
        doubtful = (frame["fdr"] >= _FDR).to_numpy()
        style: dict[str, Any] = {"color": BLUE, "markerfacecolor": "w", "markersize": 4.5}
        label = f"false discovery rate {_FDR:.0%} or more"
        ax.plot(drawn[doubtful], height[doubtful], "o", label=label, **style)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _draw_methods(ax: Axes, columns: Mapping[str, pd.Series], label: str) -> None:
    """Draw a box for each method, with a dot for each gene and the mean under the name."""
    drawn = [values.dropna().to_numpy() for values in columns.values()]
    places = np.arange(len(drawn))
    rng = np.random.default_rng(0)
    ax.boxplot(drawn, positions=places, widths=0.6, showfliers=False, medianprops={"color": "k"})
    for place, values in zip(places, drawn, strict=True):
        across = place + rng.uniform(-0.2, 0.2, size=len(values))
        ax.plot(across, values, "o", markersize=3, color=BLUE, alpha=0.6, zorder=3, rasterized=True)
    names = [f"{name}\nmean {v.mean():.2f}" for name, v in zip(columns, drawn, strict=True)]
    ax.set_xticks(places, names)
    ax.grid(axis="y", color="0.9")
    ax.set_ylabel(label + _undefined(sum(int(each.isna().sum()) for each in columns.values())))
