"""Figures: methods compared fold by fold, as points that lines join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stflow.pl._colours import BLACK, CATEGORIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = len(CATEGORIES) - 1


def fold_means(scores: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, int]:
    """Average a score over the genes of each fold of which all methods have one.

    Parameters
    ----------
    scores
        One row a fold, method and gene.
    metric
        The column to average.

    Returns
    -------
    The means, folds x methods, in the order of the rows, NaN for methods without any score, as the
    correlation of a constant; and how many genes of folds some other method has no score of.

    Raises
    ------
    ValueError
        A method has two scores for a gene of a fold, or no gene has one by all methods.
    """
    if scores.duplicated(["fold", "gene", "method"]).any():
        raise ValueError("A method has two scores for one gene of a fold; pass one run's table.")
    by_method = scores.pivot(index=["fold", "gene"], columns="method", values=metric)
    by_method = by_method[list(scores["method"].unique())]
    shared = by_method.dropna(axis=1, how="all").dropna()
    if shared.empty:
        raise ValueError(f"No gene of a fold has {metric!r} by all methods; nothing to draw.")
    means = shared.groupby(level="fold").mean().reindex(columns=by_method.columns)
    folds = [fold for fold in scores["fold"].unique() if fold in means.index]
    return means.loc[folds], len(by_method) - len(shared)


def draw_folds(ax: Axes, means: pd.DataFrame, label: str) -> None:
    """Draw a line for each fold across methods, named while they are few, and the mean."""
    places = np.arange(means.shape[1])
    few = len(means) <= _MOST_NAMED
    for i, (fold, values) in enumerate(means.iterrows()):
        how: dict[str, Any] = {"color": CATEGORIES[i] if few else "0.6", "linewidth": 1.2}
        ax.plot(places, values, "o-", markersize=5, label=str(fold) if few else None, **how)
    mean = means.mean()
    ax.plot(places, mean, "_", color=BLACK, markersize=28, markeredgewidth=2, label="mean")
    told = ["undefined" if np.isnan(value) else f"mean {value:.2f}" for value in mean]
    ax.set_xticks(places, [f"{name}\n{each}" for name, each in zip(mean.index, told, strict=True)])
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.grid(axis="y", color="0.9")
    ax.set_ylabel(label)
    ax.legend(title="left out", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
