"""Figures: a slide and values of its spots in one plane, small, for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import geopandas as gpd
import numpy as np
import shapely
from scipy.spatial import KDTree

from stflow._sdata.reported import Canvas
from stflow.pl._colours import BLUE, ORANGE, PURPLE, VERMILION
from stflow.pl._panel import Window, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_MOST_CIRCLES = 20_000
_BINS = 320
_FULL = 0.92
_BAR_ROOM = 0.12
_BAR_INCHES = 0.5
_LOOKED_AT = 2000
_UNKNOWN = "0.75"
_TISSUE = "black"
_MARKS = {"pen": (VERMILION, "///"), "fold": (BLUE, "xxx"), "blur": (PURPLE, "...")}
_OTHER = (ORANGE, "\\\\\\")


def draw_slide(ax: Axes, canvas: Canvas) -> None:
    """Draw the H&E, the outline of its tissue and its artifacts, hatched by kind."""
    from matplotlib.patches import Patch
    from matplotlib.patheffects import withStroke

    window = canvas.window(whole=True)
    if canvas.image is not None:
        x0, y0, x1, y1 = window
        ax.imshow(canvas.image, extent=(x0, x1, y1, y0), interpolation="antialiased")
    keys = []
    if canvas.tissue is not None and not canvas.tissue.is_empty:
        halo = [withStroke(linewidth=2.6, foreground="white")]
        _outline(ax, canvas.tissue, color=_TISSUE, linewidth=1.2, path_effects=halo)
        keys.append(Patch(facecolor="none", edgecolor=_TISSUE, label="tissue"))
    for kind, cover in canvas.artifacts.items():
        if cover.is_empty:
            continue
        colour, hatch = _MARKS.get(kind, _OTHER)
        look: dict[str, Any] = {"edgecolor": colour, "hatch": hatch, "linewidth": 1.0}
        faces = gpd.GeoSeries([cover])
        faces.plot(ax=ax, facecolor=(1, 1, 1, 0.25), aspect=None, **look)
        keys.append(Patch(facecolor="white", label=kind or "artifact", **look))
    if keys:
        where: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
        ax.legend(handles=keys, ncols=4, fontsize=8, frameon=False, **where)
    frame(ax, window, canvas.mpp)


def draw_values(
    ax: Axes, canvas: Canvas, values: np.ndarray, norm: Normalize, *, cmap: str, label: str
) -> None:
    """Draw a value of each spot, shape (N,), with its colour bar below; grey where it is NaN.

    Spots are enlarged until they almost touch. Of very many, the mean in each of some hundred
    squares a side is drawn.
    """
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable

    if canvas.centres is None:
        raise ValueError("Spots without a place cannot be drawn.")
    apart = _apart(canvas.centres)
    window = _wider(canvas.window(whole=False), apart / 2)
    colours = plt.get_cmap(cmap).with_extremes(bad=_UNKNOWN)
    if canvas.tissue is not None and not canvas.tissue.is_empty:
        _outline(ax, canvas.tissue, color="0.6", linewidth=0.6)
    if len(values) > _MOST_CIRCLES:
        drawn = binned(canvas.centres, values, window)
        ax.imshow(drawn, extent=_extent(window), norm=norm, cmap=colours, interpolation="nearest")
    else:
        _circles(ax, canvas.centres, _FULL * apart, values, norm, colours)
    x0, y0, x1, y1 = window
    room = 0.0 if canvas.mpp is None else _BAR_ROOM * (x1 - x0)
    frame(ax, (x0, y0, x1, y1 + room), canvas.mpp)
    ax.set_frame_on(False)
    figure = ax.get_figure(root=True)
    if figure is not None:
        room = _BAR_INCHES / float(figure.get_size_inches()[1])
        how: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.8, "pad": 0.01}
        bar = figure.colorbar(ScalarMappable(norm, colours), ax=ax, fraction=room, **how)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=8)


def binned(points: np.ndarray, values: np.ndarray, window: Window) -> np.ndarray:
    """Mean of the values of all points in each square of a window, masked where there are none."""
    low, high = np.array(window[:2]), np.array(window[2:])
    side = float((high - low).max()) / _BINS
    width, height = np.maximum(np.ceil((high - low) / side), 1).astype(int)
    known = np.isfinite(values)
    column, row = ((points[known] - low) / (high - low) * (width, height)).astype(int).T
    at = np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)
    number = np.bincount(at, minlength=width * height)
    total = np.bincount(at, values[known], minlength=width * height)
    mean = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
    return np.ma.masked_array(mean, number == 0).reshape(height, width)


def _circles(
    ax: Axes,
    points: np.ndarray,
    width: float,
    values: np.ndarray,
    norm: Normalize,
    colours: Any,
) -> None:
    from matplotlib.collections import EllipseCollection

    across = np.full(len(points), width)
    drawn = EllipseCollection(
        across,
        across,
        np.zeros(len(points)),
        units="xy",
        offsets=points,
        offset_transform=ax.transData,
        norm=norm,
        cmap=colours,
        linewidths=0,
    )
    drawn.set_array(np.ma.masked_invalid(values))
    ax.add_collection(drawn)


def _apart(points: np.ndarray) -> float:
    """Distance of neighbours in the middle of all."""
    if len(points) < 2:
        return 1.0
    some = points[np.linspace(0, len(points) - 1, min(len(points), _LOOKED_AT)).astype(int)]
    return float(np.median(KDTree(points).query(some, k=2)[0][:, 1]))


def _outline(ax: Axes, cover: shapely.Geometry, **look: Any) -> None:
    gpd.GeoSeries([cover.boundary]).plot(ax=ax, aspect=None, **look)


def _wider(window: Window, margin: float) -> Window:
    x0, y0, x1, y1 = window
    return x0 - margin, y0 - margin, x1 + margin, y1 + margin


def _extent(window: Window) -> Window:
    x0, y0, x1, y1 = window
    return x0, x1, y1, y0
