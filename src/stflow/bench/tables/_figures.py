"""Figures of a benchmark: accuracy on every task, and maps of marker genes beside predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from stflow._units import UNITS
from stflow.bench.tables._checked import ROW, checked
from stflow.bench.tables._labels import PEEKING, method_label, task_rank
from stflow.bench.tables._rows import each, fold_scores, make_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("GATA3", "ERBB2", "UBE2C", "VWF")
COLOURS = {"hest": "#0072B2", "nested": "#D55E00"}
OTHER = "#009E73"
PER_LINE = 5
ROW_IN, PANEL_IN, MAP_IN = 0.23, 2.1, 2.3
QUANTILES = (0.01, 0.99)
TITLE_CHARS = 24


@dataclass(frozen=True, slots=True, eq=False)
class MarkerMap:
    """A gene on a slide, measured and predicted.

    Parameters
    ----------
    slide, gene
        Which.
    coords
        Spot centres in micrometres, shape (N, 2), y down.
    measured
        Expression, shape (N,), NaN where it was not measured.
    predicted
        Predictions, shape (N,), by what to call them.

    Raises
    ------
    ValueError
        The shapes do not belong together.
    """

    slide: str
    gene: str
    coords: np.ndarray
    measured: np.ndarray
    predicted: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        n_spots = len(self.coords)
        if self.coords.shape != (n_spots, 2):
            raise ValueError(f"Coordinates have the shape {self.coords.shape}, not (N, 2).")
        for name, values in {"measured": self.measured, **self.predicted}.items():
            if values.shape != (n_spots,):
                raise ValueError(
                    f"{self.gene} on {self.slide}, {name}: values have the shape {values.shape}, "
                    f"and there are {n_spots} spots."
                )


def draw_accuracy(results: pd.DataFrame) -> Figure:
    """Draw the score of every method on every task.

    A panel for each task and units, a row for each method and encoder: best on average first, but
    last what is no result. Dots are folds, a bar is their mean, a hollow diamond what was
    published; colours are protocols. Where folds are missing, that is said.

    Parameters
    ----------
    results
        What :func:`run` returns.

    Returns
    -------
    A figure, to be saved.

    Raises
    ------
    KeyError
        A column is missing.
    ValueError
        There are no results, or a result occurs twice.
    """
    from matplotlib.figure import Figure

    folds = fold_scores(checked(results))["pearson"].reset_index()
    tables = [table for table in make_tables(results).values() if "mean" in table]
    means = pd.concat(tables).drop_duplicates(ROW)
    means = means[means["task"].isin(folds["task"])]
    rows = _by_mean(means)
    for frame in (folds, means):
        frame["row"] = frame.set_index(["method", "encoder"]).index.map(rows.index)
    panels = sorted({*zip(folds["units"], folds["task"], strict=True)}, key=_panel_rank)
    n_across = min(PER_LINE, len(panels))
    n_down = math.ceil(len(panels) / n_across)
    height = n_down * (0.6 + ROW_IN * len(rows)) + 0.5
    figure = Figure(figsize=(3.0 + PANEL_IN * n_across, height), layout="constrained")
    grid = figure.subplots(n_down, n_across, sharey=True, squeeze=False)
    shifts = _shifts(sorted(folds["protocol"].unique()))
    for ax, (units, task) in zip(grid.flat, panels, strict=False):
        here, bars = (
            part[(part["task"] == task) & (part["units"] == units)] for part in (folds, means)
        )
        _draw_task(ax, here, bars, shifts)
        ax.set_title(task, fontsize=11)
        ax.set_xlabel(f"mean Pearson, {units}", fontsize=9)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    for ax in grid[:, 0]:
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_yticks(range(len(rows)), [method_label(*row) for row in rows], fontsize=9)
        for label, (method, _) in zip(ax.get_yticklabels(), rows, strict=True):
            label.set_color("0.5" if method == PEEKING else "black")
    _legend(figure, list(shifts), published=bool(means["published_mean"].notna().any()))
    return figure


def _panel_rank(panel: tuple[str, str]) -> tuple[object, ...]:
    """Place of a panel: default units first."""
    units, task = panel
    return (*UNITS, units).index(units), *task_rank(task)


def _by_mean(means: pd.DataFrame) -> list[tuple[str, str]]:
    """Methods and encoders, best first, by how far they are from the mean of each task.

    Results over some folds alone count only for those that have no others.
    """
    who = [means["method"], means["encoder"]]
    whole = means["n_folds"] == means["of_folds"]
    means = means[whole | ~whole.groupby(who).transform("any")]
    centre = means.groupby(["protocol", "units", "task"])["mean"].transform("mean")
    order = (means["mean"] - centre).groupby([means["method"], means["encoder"]]).mean()
    names = order.sort_values(ascending=False, na_position="last", kind="stable").index
    return sorted(names, key=lambda name: name[0] == PEEKING)


def _shifts(protocols: list[str]) -> dict[str, float]:
    """How far below the middle of its row a protocol is drawn."""
    places = np.linspace(-0.22, 0.22, len(protocols)) if len(protocols) > 1 else [0.0]
    return dict(zip(protocols, map(float, places), strict=True))


def _draw_task(
    ax: Axes, folds: pd.DataFrame, means: pd.DataFrame, shifts: Mapping[str, float]
) -> None:
    for protocol, shift in shifts.items():
        colour = COLOURS.get(protocol, OTHER)
        dots, bars = (part[part["protocol"] == protocol] for part in (folds, means))
        dot: dict[str, Any] = {"markersize": 3, "alpha": 0.45, "mew": 0}
        ax.plot(dots["pearson"], dots["row"] + shift, "o", color=colour, **dot)
        ax.plot(bars["mean"], bars["row"] + shift, "|", color=colour, markersize=8, mew=2)
        for bar in each(bars[bars["n_folds"] < bars["of_folds"]]):
            text = f"{bar.n_folds} of {bar.of_folds} folds" if bar.n_folds else "failed"
            _note(ax, bar.row + shift, text, colour, away_from=bar.mean)
    known = means.dropna(subset="published_mean")
    style: dict[str, Any] = {"mfc": "none", "mec": "black", "markersize": 4.5, "mew": 0.9}
    ax.plot(known["published_mean"], known["row"], "D", **style)
    ax.grid(axis="y", color="0.93", linewidth=0.6)
    ax.grid(axis="x", color="0.88", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=9)
    ax.locator_params(axis="x", nbins=3)


def _note(ax: Axes, height: float, text: str, colour: str, *, away_from: float) -> None:
    """Write at the edge of a panel that is further away from a value, over what is there."""
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
    place: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "bbox": box}
    low, high = ax.get_xlim()
    at: dict[str, Any] = {"x": 0.01, "ha": "left"}
    if away_from < (low + high) / 2:
        at = {"x": 0.99, "ha": "right"}
    ax.text(**at, y=height, s=text, color=colour, fontsize=6.5, **place)


def _legend(figure: Figure, protocols: Sequence[str], *, published: bool) -> None:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=COLOURS.get(name, OTHER), marker="|", ls="", ms=9, mew=2, label=name)
        for name in protocols
    ]
    marks.append(Line2D([], [], color="0.4", marker="o", ls="", ms=3, label="a fold"))
    if published:
        style: dict[str, Any] = {"marker": "D", "mfc": "none", "mec": "black", "ls": "", "ms": 4.5}
        marks.append(Line2D([], [], label="published", **style))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)


def draw_biomarkers(maps: Sequence[MarkerMap]) -> Figure:
    """Draw genes as measured, beside predictions of them.

    A row for each gene and slide, a column for each prediction, with its Pearson correlation.
    Every map has colours of its own, from its 1 % to its 99 % quantile.

    Parameters
    ----------
    maps
        The genes, in the order of rows.

    Returns
    -------
    A figure, to be saved. It says which of GATA3, ERBB2, UBE2C and VWF are not in it.

    Raises
    ------
    ValueError
        There are no maps.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    if not maps:
        raise ValueError("There are no maps to draw.")
    names = list(dict.fromkeys(name for one in maps for name in one.predicted))
    ratio = float(np.median([_ratio(one.coords) for one in maps]))
    size = (MAP_IN * (1 + len(names)) + 1.2, (MAP_IN * ratio + 0.3) * len(maps) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(maps), 1 + len(names), squeeze=False)
    for line, one in zip(grid, maps, strict=True):
        _draw_map(line[0], one, one.measured, "not measured")
        line[0].set_ylabel("\n".join([one.gene, *wrap(one.slide, TITLE_CHARS)]), fontsize=11)
        line[0].set_title("measured", fontsize=10)
        for ax, name in zip(line[1:], names, strict=True):
            values = one.predicted.get(name, np.full(len(one.coords), np.nan))
            _draw_map(ax, one, values, "not predicted")
            said = _correlation(one.measured, values) if np.isfinite(values).any() else ""
            ax.set_title("\n".join([*wrap(name, TITLE_CHARS), said]), fontsize=10)
    bar = figure.colorbar(ScalarMappable(cmap="viridis"), ax=grid, shrink=0.5, aspect=30)
    bar.set_ticks([0, 1], labels=["low", "high"])
    absent = [gene for gene in MARKERS if gene not in {one.gene for one in maps}]
    if absent:
        figure.supxlabel(f"Not among the genes: {', '.join(absent)}", fontsize=10)
    return figure


def _ratio(coords: np.ndarray) -> float:
    """Height of a slide over its width."""
    width, height = np.ptp(coords, axis=0)
    return float(np.clip(height / max(width, 1e-9), 0.3, 3.0))


def _correlation(measured: np.ndarray, predicted: np.ndarray) -> str:
    both = np.isfinite(measured) & np.isfinite(predicted)
    x, y = measured[both], predicted[both]
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return "Pearson undefined"
    return f"Pearson {np.corrcoef(x, y)[0, 1]:.3f}"


def rescaled(values: np.ndarray) -> np.ndarray:
    """Scale to 0 to 1 between two quantiles; all 0 where they are equal, NaN stays."""
    low, high = np.nanquantile(values, QUANTILES)
    return np.clip((values - low) / (high - low), 0, 1) if high > low else values - values


def _draw_map(ax: Axes, one: MarkerMap, values: np.ndarray, nothing: str) -> None:
    from matplotlib.collections import EllipseCollection

    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    there = np.isfinite(values)
    if not there.any():
        ax.text(0.5, 0.5, nothing, transform=ax.transAxes, ha="center", va="center", color="0.4")
        return
    pitch = _pitch(one.coords)
    size = np.full(len(one.coords), 0.92 * pitch)
    spots = EllipseCollection(
        size,
        size,
        np.zeros(len(size)),
        units="xy",
        offsets=one.coords,
        offset_transform=ax.transData,
        array=np.ma.masked_invalid(rescaled(values)),
        cmap="viridis",
        rasterized=True,
    )
    spots.set_clim(0, 1)
    ax.add_collection(spots)
    (left, top), (right, bottom) = one.coords.min(0) - pitch, one.coords.max(0) + pitch
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)


def _pitch(coords: np.ndarray) -> float:
    """Median distance to the nearest other spot."""
    if len(coords) < 2:
        return 1.0
    distance, _ = cKDTree(coords).query(coords, k=2)
    return float(np.median(distance[:, 1]))
