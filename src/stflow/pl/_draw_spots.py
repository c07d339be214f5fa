"""Figures: the spots on the whole slide, and some of them closely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from geopandas import GeoDataFrame

from stflow._sdata.scene import Stage, outlines
from stflow.pl._close_up import close_up
from stflow.pl._fill import Fill
from stflow.pl._panel import draw_image, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL_INCHES = 4.6
_SLIDE_PIXELS = 1000
_CLOSE_PIXELS = 800
_LEAST_CLOSE_PX = 100
_LEAST_CLOSE_SPOTS = 4
_MEASURED = 500
_MARGIN = 0.02
_SEEN = 0.007
_MOST_OUTLINES = 5000
_DOT_POINTS = 1.8
_MOST_COVER = 0.5
_SPARSE = 0.25
_TISSUE = "black"
_BOX = "black"
_TITLE_POINTS = 10


def new_axes(
    stage: Stage, figsize: tuple[float, float] | None, dpi: float | None, title: str | None
) -> list[Axes]:
    """Return two axes of a new figure, the first shaped like the slide."""
    import matplotlib.pyplot as plt

    low, high = _whole(stage)
    ratio = float(np.clip((high - low)[0] / (high - low)[1], 0.4, 2.5))
    width = _PANEL_INCHES * (ratio + 1) + 1.0
    figure, axes = plt.subplots(
        1,
        2,
        figsize=figsize or (width, _PANEL_INCHES + 0.5),
        dpi=dpi,
        width_ratios=(ratio, 1),
        layout="constrained",
    )
    if title is not None:
        figure.suptitle(title)
    return list(axes)


def draw_spots(axes: Sequence[Axes], stage: Stage, fill: Fill, tissue: GeoDataFrame | None) -> None:
    """Draw the slide on the first axes, with a box around what is on the second."""
    from matplotlib.patches import Rectangle

    slide, close = axes
    points = stage.centres
    least = max(_LEAST_CLOSE_PX * stage.units_per_pixel, _LEAST_CLOSE_SPOTS * _across(stage))
    middle, side = close_up(points, least=least)
    corner = middle - side / 2
    whole = _whole(stage)
    _draw(slide, stage, *whole, tissue, _SLIDE_PIXELS)
    _draw_all(slide, stage, points, fill)
    frame(slide, (*whole[0], *whole[1]), stage.um_per_unit)
    slide.add_patch(Rectangle(tuple(corner), side, side, fill=False, edgecolor=_BOX, linewidth=1.5))
    _draw(close, stage, corner, corner + side, tissue, _CLOSE_PIXELS)
    spread = np.abs(points - middle).max(axis=1)
    shown = np.flatnonzero(spread <= side)
    _outline(close, outlines(stage.spots.iloc[shown]), fill, shown, width=1.2, halo=1.2)
    frame(close, (*corner, *(corner + side)), stage.um_per_unit)
    fill.explain(close)
    slide.set_title(_title(stage), fontsize=_TITLE_POINTS)
    close.set_title("close-up of the box", fontsize=_TITLE_POINTS)


def _draw(
    ax: Axes,
    stage: Stage,
    low: np.ndarray,
    high: np.ndarray,
    tissue: GeoDataFrame | None,
    n_pixels: int,
) -> None:
    """Draw image and tissue between two corners."""
    image = stage.crop(low, high, n_pixels)
    if image is not None:
        draw_image(ax, image)
    if tissue is not None:
        tissue.boundary.plot(ax=ax, color=_TISSUE, linewidth=1.0, linestyle="--", aspect=None)


def _whole(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Corners of what holds both image and spots, with a margin."""
    points = stage.centres
    low, high = stage.image_corners()
    low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    margin = _MARGIN * (high - low).max()
    return low - margin, high + margin


def _across(stage: Stage) -> float:
    """How large a spot is: the side of a square of its area."""
    n_spots = len(stage.spots)
    some = np.linspace(0, n_spots - 1, min(n_spots, _MEASURED)).astype(int)
    return math.sqrt(float(outlines(stage.spots.iloc[some]).geometry.area.median()))


def _draw_all(ax: Axes, stage: Stage, points: np.ndarray, fill: Fill) -> None:
    """Draw all spots on the slide: their outlines where these can be seen, else dots."""
    low, high = _whole(stage)
    if len(points) <= _MOST_OUTLINES and _across(stage) >= _SEEN * (high - low).max():
        _outline(ax, outlines(stage.spots), fill, np.arange(len(points)), width=0.8)
        return
    dot = (_DOT_POINTS / (72 * _PANEL_INCHES) * (high - low).max()) ** 2
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=_DOT_POINTS**2,
        c=fill.colours,
        alpha=_alpha(points, dot),
        linewidths=0,
        rasterized=True,
    )


def _alpha(points: np.ndarray, dot: float) -> float:
    """How opaque dots of that area may be for tissue to be seen through all that overlap."""
    ends = np.quantile(points, (0.05, 0.95), axis=0)
    layers = 0.8 * len(points) * dot / max(float((ends[1] - ends[0]).prod()), dot)
    return 1.0 if layers < _SPARSE else 1 - (1 - _MOST_COVER) ** (1 / max(1.0, layers))


def _outline(
    ax: Axes,
    shapes: GeoDataFrame,
    fill: Fill,
    at: np.ndarray,
    *,
    width: float,
    halo: float = 0.0,
) -> None:
    """Draw outlines, on wider black ones by ``halo``, or filled where the colour has a meaning."""
    from matplotlib.patheffects import withStroke

    colours: Any = fill.of(at)
    face = np.asarray(colours) * (1, 1, 1, 0.5) if fill.name else "none"
    is_bare = halo and not fill.name
    behind = [withStroke(linewidth=width + halo, foreground="black")] if is_bare else None
    shapes.plot(
        ax=ax,
        facecolor=face,
        edgecolor=colours,
        linewidth=width,
        path_effects=behind,
        rasterized=True,
        aspect=None,
    )


def _title(stage: Stage) -> str:
    """Say how many spots there are, on which image, and how many lie outside it."""
    pixels, size = stage.centres_px, np.asarray(stage.size_px)
    n_outside = int((~((pixels >= 0) & (pixels <= size)).all(axis=1)).sum())
    outside = f", {n_outside:,} outside it" if n_outside else ""
    n_spots = len(pixels)
    return f"{n_spots:,} spot{'s' if n_spots != 1 else ''} on {stage.image_key!r}{outside}"
