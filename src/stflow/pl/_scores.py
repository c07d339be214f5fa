"""Scores of genes, of one prediction or of several side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stflow._units import LABELS
from stflow._validation import require_choice, require_key
from stflow.pl._figure import finish, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = {
    "pearson": "Pearson",
    "partial": "partial Pearson, given depth",
    "spearman": "Spearman",
    "r2": "R²",
    "rmse": "RMSE",
}
_MARKS = {
    "ceiling": ("|", "C2", "ceiling of counting noise"),
    "pearson_depth": ("x", "C3", "depth alone"),
}
_FDR = 0.05


def scores(
    scores: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    metric: str = "pearson",
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
    where they are known; genes that cannot be told from chance are drawn as rings.

    Parameters
    ----------
    scores
        What :func:`stflow.tl.evaluate` returned, or the ``trust`` of a model: genes are drawn as
        dots, best first, with their mean. Or several of them by name, or one with
        ``per_slide=True``: each, or each slide, is drawn as a box with a dot for every gene.
    metric
        Column to draw: ``"pearson"``, ``"partial"``, ``"spearman"``, ``"r2"`` or ``"rmse"``.
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
        A DataFrame has no column ``metric``.
    TypeError
        What is given is no DataFrame.
    ValueError
        ``metric`` is none of the scores, or there is nothing to draw.
    """
    require_choice(metric, _LABELS, name="metric")
    label = _label(metric, [scores] if isinstance(scores, pd.DataFrame) else scores.values())
    if isinstance(scores, pd.DataFrame) and scores.index.nlevels > 1:
        scores = {str(name): part.droplevel(0) for name, part in scores.groupby(level=0)}
    columns = {
        str(name): _column(frame, metric)
        for name, frame in (scores if isinstance(scores, Mapping) else {"": scores}).items()
    }
    if not columns:
        raise ValueError("`scores` is an empty dict; pass at least one DataFrame.")
    if isinstance(scores, Mapping):
        axes = one_axes(
            ax, figsize=figsize or (1.6 + 1.1 * len(columns), 4.0), dpi=dpi, title=title
        )
        _draw_methods(axes, columns, label)
    else:
        height = 1.2 + 0.17 * len(columns[""])
        axes = one_axes(ax, figsize=figsize or (4.5, height), dpi=dpi, title=title)
        _draw_genes(axes, columns[""], metric, label, scores)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)


def _label(metric: str, frames: Iterable[pd.DataFrame]) -> str:
    """Name a score, and of an error the units where all frames tell the same."""
    told = {getattr(frame, "attrs", {}).get("units") for frame in frames}
    units = LABELS.get(str(told.pop())) if metric == "rmse" and len(told) == 1 else None
    return f"{_LABELS[metric]} in {units}" if units else _LABELS[metric]


def _column(frame: pd.DataFrame, metric: str) -> pd.Series:
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"Expected what `stf.tl.evaluate` returned, not {type(frame).__name__}.")
    require_key(metric, frame.columns, what="column", hint="Pass what `stf.tl.evaluate` returned.")
    values = frame[metric]
    if values.notna().sum() == 0:
        raise ValueError(f"{metric!r} is undefined for every gene; there is nothing to draw.")
    return values


def _undefined(columns: Iterable[pd.Series]) -> str:
    """Say how many genes are left out, when there are any."""
    number = sum(int(values.isna().sum()) for values in columns)
    return f" ({number} undefined)" if number else ""


def _draw_genes(ax: Axes, values: pd.Series, metric: str, label: str, frame: pd.DataFrame) -> None:
    """Draw dots from best (top) to worst, on stems from zero, with the mean as a line."""
    drawn = values.dropna().sort_values(ascending=metric != "rmse")
    height = np.arange(len(drawn))
    mean = float(drawn.mean())
    ax.hlines(height, 0.0, drawn, color="0.8", linewidth=1.5)
    ax.plot(drawn, height, "o", markersize=4.5, color="C0")
    if metric == "pearson":
        _draw_marks(ax, frame.loc[drawn.index], drawn, height)
    ax.axvline(0.0, color="0.5", linewidth=0.8)
    ax.axvline(mean, color="C1", linestyle="--", zorder=1)
    ax.set_yticks(height, list(drawn.index.astype(str)), fontsize=8)
    ax.set_ylim(-0.7, len(drawn) - 0.3)
    ax.set_xlabel(f"{label}, mean {mean:.2f}{_undefined([values])}")


def _draw_marks(ax: Axes, frame: pd.DataFrame, drawn: pd.Series, height: np.ndarray) -> None:
    """Draw what a correlation is to be compared with, and which may be chance."""
    for name, (marker, color, label) in _MARKS.items():
        if name in frame:
            ax.plot(frame[name], height, marker, color=color, markersize=6, label=label)
    if "fdr" in frame:
        doubtful = (frame["fdr"] >= _FDR).to_numpy()
        style: dict[str, Any] = {"color": "C0", "markerfacecolor": "w", "markersize": 4.5}
        label = f"false discovery rate {_FDR:.0%} or more"
        ax.plot(drawn[doubtful], height[doubtful], "o", label=label, **style)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _draw_methods(ax: Axes, columns: Mapping[str, pd.Series], label: str) -> None:
    """Draw a box for each method, with a dot for each gene and the mean under the name."""
    drawn = [values.dropna().to_numpy() for values in columns.values()]
    places = np.arange(len(drawn))
    rng = np.random.default_rng(0)
    ax.boxplot(drawn, positions=places, widths=0.6, showfliers=False, medianprops={"color": "k"})
    for place, values in zip(places, drawn, strict=True):
        across = place + rng.uniform(-0.2, 0.2, size=len(values))
        ax.plot(across, values, "o", markersize=3, color="C0", alpha=0.6, zorder=3)
    names = [f"{name}\nmean {v.mean():.2f}" for name, v in zip(columns, drawn, strict=True)]
    ax.set_xticks(places, names)
    ax.grid(axis="y", color="0.9")
    ax.set_ylabel(label + _undefined(columns.values()))
