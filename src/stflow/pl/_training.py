"""Curves of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stflow._validation import listing
from stflow.pl._colours import BLUE, ORANGE, PURPLE
from stflow.pl._figure import finish, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stflow.model import STFlow

_COLUMNS = ("epoch", "train_loss", "val_loss")


def training(
    model: STFlow | pd.DataFrame,
    *,
    figsize: tuple[float, float] = (5.0, 3.5),
    dpi: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> Axes | None:
    """Draw training and validation loss of each flow against the epoch, the best epoch marked.

    The flow that learns from everything has no validation loss; its curve is dashed.

    Parameters
    ----------
    model
        A fitted model, or its ``history``: a DataFrame with the columns ``epoch``,
        ``train_loss``, ``val_loss`` and, of several flows, ``flow``.
    figsize
        Width and height of the figure in inches.
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
    TypeError
        ``model`` is neither a fitted model nor a DataFrame.
    KeyError
        The history lacks a column.
    ValueError
        The history has no epochs.
    """
    history = _history(model)
    axes = one_axes(ax, figsize=figsize, dpi=dpi, title=title)
    flow = history["flow"] if "flow" in history else np.zeros(len(history))
    parts = [part for _, part in history.groupby(np.asarray(flow))]
    best = [epoch for part in parts for epoch in _draw(axes, part, alone=len(parts) == 1)]
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if best:
        handles[f"best epoch: {', '.join(best)}"] = handles.pop("best epoch")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(handles.values(), handles.keys(), frameon=False)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)


def _draw(axes: Axes, history: pd.DataFrame, *, alone: bool) -> list[str]:
    """Draw the curves of one flow; return its best epoch, if there is one."""
    epochs, train_loss, val_loss = (history[name].to_numpy(dtype=float) for name in _COLUMNS)
    on_all = np.isnan(val_loss).all()
    if on_all and not alone:
        axes.plot(epochs, train_loss, "--", label="training on everything", color=PURPLE)
    else:
        axes.plot(epochs, train_loss, label="training", color=BLUE)
    if on_all:
        return []
    axes.plot(epochs, val_loss, label="validation", color=ORANGE)
    best = int(np.nanargmin(val_loss))
    axes.axvline(epochs[best], color="0.7", linestyle=":", zorder=0)
    axes.plot(epochs[best], val_loss[best], "o", color=ORANGE, label="best epoch")
    return [f"{epochs[best]:g}"]


def _history(model: STFlow | pd.DataFrame) -> pd.DataFrame:
    history = model if isinstance(model, pd.DataFrame) else getattr(model, "history", None)
    if not isinstance(history, pd.DataFrame):
        raise TypeError(
            f"Expected a fitted STFlow or its history DataFrame, not {type(model).__name__}."
        )
    lost = [name for name in _COLUMNS if name not in history]
    if lost:
        raise KeyError(
            f"The history has no column {listing(lost)}; available: {listing(history.columns)}."
        )
    if history.empty:
        raise ValueError("The history has no epochs; run `stf.tl.fit` first.")
    return history
