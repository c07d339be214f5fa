"""Claimed against measured coverage of the intervals around a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import by_text, slide_groups
from stflow._sdata.expression import Compared, lacks_sd, read_compared
from stflow._units import Units
from stflow._validation import listing
from stflow.metrics import LEVELS, coverage, shifted_interval
from stflow.pl._colours import CATEGORIES
from stflow.pl._figure import finish, one_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DRAWN = np.arange(5, 100, 5) / 100


def calibration(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    key: str = _keys.PREDICTION,
    *,
    units: Units | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    genes: Sequence[str] | None = None,
    groups: Mapping[str, str] | str | None = None,
    table_key: str = _keys.TABLE,
    color: str = "C0",
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> Axes | None:
    """Draw how often the measurement lies in an interval against how often it should.

    The intervals are those of :func:`stflow.get.intervals`. A line below the diagonal claims too
    much, one above it too little. With ``groups``, each of them has a thin line, named while they
    are few; one patient's may lie far off where all together are right. Spots whose counts were
    given to :func:`stflow.tl.predict` as ``observed`` are left out.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, its table, or several slides by
        name, whose spots are pooled.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`).
    units
        Units of a prediction of which ``.uns[key]`` does not tell: ``"cp10k"`` or ``"counts"``.
        None: what it tells.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot, of tables that lack genes of the
        fit. None: the sum over these.
    min_counts
        Spots of fewer counts are left out. None: as in the fit, or else 100, or a tenth of the
        slide's median total if that is less.
    genes
        Genes to draw; None is all of the prediction's.
    groups
        Group of each of several slides, as a rule its patient, each of which is drawn as a line of
        its own: a dict, or the name of a column of ``.obs``. None: none are.
    table_key
        Name of the table in each ``data.tables``.
    color
        Colour of the line, the mean over the genes, and of the band, which holds the middle half
        of the genes and is left out with ``groups``.
    figsize
        Width and height of the figure in inches; None leaves room for the names of ``groups``.
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
        A slide has no table, prediction, standard deviation, layer or group, or lacks some genes.
    TypeError
        ``data`` holds something else, ``.obsm[key]`` is not a DataFrame, or ``groups`` comes with
        a single slide.
    ValueError
        Nothing was measured, the counts are not raw counts, the prediction or its standard
        deviation holds NaN or infinite values, a standard deviation is negative, the slides
        were predicted for different genes or units, nothing tells these, a table lacks genes
        that hold more than 5 % of the counts of the fit, all spots were observed, or a slide has no
        group or several.

    Examples
    --------
    >>> stf.tl.predict(test, model, n_samples=8)  # doctest: +SKIP
    >>> stf.pl.calibration(test)  # doctest: +SKIP
    >>> stf.pl.calibration({"A1": a1, "B1": b1}, groups={"A1": "A", "B1": "B"})  # doctest: +SKIP
    """
    counting: dict[str, Any] = {"units": units, "total_key": total_key, "min_counts": min_counts}
    _, slides = read_compared(data, key, layer=layer, genes=genes, table_key=table_key, **counting)
    lacking = [slide.name for slide in slides if slide.sd is None]
    if lacking:
        raise lacks_sd(key, listing(lacking))
    parts = {} if groups is None else _grouped(data, slides, groups, table_key)
    covered = _coverages(slides)
    by_group = {name: _coverages(part).mean(axis=1) for name, part in parts.items()}
    size = figsize or ((6.2, 4.2) if parts else (4.2, 4.2))
    axes = one_axes(ax, figsize=size, dpi=dpi, title=title)
    _draw_groups(axes, by_group)
    _draw(axes, covered, color, band=not parts)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)


def _grouped(
    data: Any, slides: Sequence[Compared], groups: Mapping[str, str] | str, table_key: str
) -> dict[str, list[Compared]]:
    """Return the slides of each group, in the order of the slides."""
    if not isinstance(data, Mapping):
        raise TypeError("`groups` are of several slides; pass these as a dict, by name.")
    told = slide_groups(by_text(data), groups, table_key)
    names = dict.fromkeys(told[slide.name] for slide in slides)
    return {name: [slide for slide in slides if told[slide.name] == name] for name in names}


def _coverages(slides: Sequence[Compared]) -> np.ndarray:
    """Coverage of the intervals of each level that is drawn, shape (levels, genes)."""
    return np.stack([_covered(slides, level) for level in _DRAWN])


def _covered(slides: Sequence[Compared], level: float) -> np.ndarray:
    """Share of the spots of all slides inside the intervals of a level, shape (genes,)."""
    shares = [
        coverage(
            slide.measured,
            *shifted_interval(
                slide.predicted, slide.sd, shift=slide.shift, df=slide.df, level=level
            ),
        )
        for slide in slides
        if slide.sd is not None
    ]
    return np.average(shares, axis=0, weights=[len(slide.measured) for slide in slides])


def _draw_groups(ax: Axes, covered: Mapping[str, np.ndarray]) -> None:
    """Draw the coverage of each group, shape (levels,), named while they are few."""
    few = len(covered) <= len(CATEGORIES)
    for i, (name, shares) in enumerate(covered.items()):
        how: dict[str, Any] = {"color": CATEGORIES[i], "label": name} if few else {"color": "0.7"}
        ax.plot(100 * _DRAWN, 100 * shares, linewidth=1.1, zorder=1, **how)


def _draw(ax: Axes, covered: np.ndarray, color: str, *, band: bool) -> None:
    """Draw coverage, shape (levels, genes), in per cent."""
    claimed, found = 100 * _DRAWN, 100 * covered
    mean = found.mean(axis=1)
    ax.plot([0, 100], [0, 100], color="0.6", linestyle="--", linewidth=1, label="as claimed")
    if band and found.shape[1] > 1:
        low, high = np.quantile(found, [0.25, 0.75], axis=1)
        ax.fill_between(
            claimed, low, high, color=color, alpha=0.2, linewidth=0, label="middle half of genes"
        )
    ax.plot(claimed, mean, color=color, linewidth=1.5 if band else 2.5, label="mean of genes")
    marked = [int(np.argmin(np.abs(_DRAWN - level))) for level in LEVELS]
    levels, numbers = (", ".join(f"{each[at]:.0f}" for at in marked) for each in (claimed, mean))
    label = f"at {levels} %: {numbers} %"
    ax.plot(
        claimed[marked], mean[marked], "o", color=color, markersize=5, clip_on=False, label=label
    )
    ticks = np.arange(0, 101, 20)
    ax.set(xlim=(0, 100), ylim=(0, 100), xticks=ticks, yticks=ticks, aspect="equal")
    ax.set(xlabel="claimed coverage (%)", ylabel="measured coverage (%)")
    beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    ax.legend(frameon=False, fontsize=8, **({"loc": "best"} if band else beside))
