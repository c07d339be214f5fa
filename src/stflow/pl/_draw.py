"""Figures: maps of genes, one a slide and kind of value, and bars that explain the colours."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stflow import _keys
from stflow._sdata.scene import Scene
from stflow.metrics import pearson
from stflow.pl._map_layout import scale_of
from stflow.pl._map_values import Kind, SlideMaps
from stflow.pl._opacity import Opacity
from stflow.pl._panel import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

_TITLE_POINTS, _TITLE_LETTERS = 10, 34
_TICK_POINTS = 8
_WHOLE, _UPPER, _LOWER = (
    (1.03, low, 0.04, height) for low, height in ((0.0, 1.0), (0.45, 0.55), (0.0, 0.33))
)
_NAMES: dict[Kind, str] = {"sd": "standard deviation"}
_LABELS: dict[Kind, str] = {"sd": "standard deviation", "difference": "predicted − measured"}
_CMAPS = {"sd": "magma", "difference": "RdBu_r"}


def draw_maps(
    axes: Sequence[Axes],
    maps: Sequence[SlideMaps],
    genes: Sequence[str],
    kinds: Sequence[Kind],
    limits: Sequence[Mapping[str, Normalize]],
    *,
    cmap: str | Colormap,
    level: float,
    fade: bool,
) -> None:
    """Draw for every gene the maps of every slide, one a kind of value.

    The bar of a colour scale stands beside the last map that it is of. Spots without a value are
    grey. With ``fade``, predicted spots are the fainter, the larger their standard deviation is
    beside the scale of colours.
    """
    remaining = iter(axes)
    for i, gene in enumerate(genes):
        panels = {}
        opacity = Opacity.on(limits[i]["expression"]) if fade else None
        for each, kind in product(maps, kinds):
            scale, ax = scale_of(kind), next(remaining)
            colours: Any = cmap if scale == "expression" else _CMAPS[scale]
            alpha = opacity(each.of("sd", i)) if opacity and kind == "predicted" else None
            _draw_map(ax, each.scene, each.of(kind, i), limits[i][scale], colours, alpha)
            title = _title(each, gene, i, kind, level)
            lines = [_wrapped(line) for line in title.split("\n")]
            ax.set_title("\n".join(lines), fontsize=_TITLE_POINTS)
            panels[scale] = ax, colours, _LABELS.get(kind, each.unit)
        for scale, (ax, colours, label) in panels.items():
            explained = opacity if scale == "expression" else None
            _draw_bar(ax, limits[i][scale], colours, label, explained)


def _title(maps: SlideMaps, gene: str, at: int, kind: Kind, level: float) -> str:
    """Name a map, and on the predicted one the correlation with what was measured."""
    first = f"{maps.name}\n" if maps.name else ""
    nothing = np.isnan(maps.of(kind, at)).all()
    if nothing and (kind == "measured" or not np.isnan(maps.of("predicted", at)).all()):
        return f"{first}{gene} not measured"
    if nothing:
        return f"{first}{gene} not predicted"
    if kind in ("lower", "upper"):
        return f"{first}{gene} {kind} bound, {100 * level:g} %"
    if kind != "predicted":
        return f"{first}{gene} {_NAMES.get(kind, kind)}"
    measured, scored = maps.of("measured", at), maps.scored
    if np.isnan(measured).all() or not scored.any():
        return f"{first}{gene} predicted"
    score = pearson(measured[scored, None], maps.of("predicted", at)[scored, None])[0]
    told = "undefined" if np.isnan(score) else f"{score:.2f}"
    return f"{first}{gene} predicted (Pearson {told})"


def _wrapped(line: str) -> str:
    """Break a line of a title, but for its score."""
    together = line.replace("(Pearson ", "(Pearson\u00a0")
    return fill(together, _TITLE_LETTERS).replace("\u00a0", " ")


def _draw_bar(
    ax: Axes, norm: Normalize, cmap: str | Colormap, label: str, opacity: Opacity | None
) -> None:
    """Draw a colour bar beside a map, above one of opacity where that has a meaning."""
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar

    bar = ax.inset_axes(_WHOLE if opacity is None else _UPPER)
    Colorbar(bar, ScalarMappable(norm, plt.get_cmap(cmap)), label=label)
    bar.tick_params(labelsize=_TICK_POINTS)
    if opacity is not None:
        key = ax.inset_axes(_LOWER)
        opacity.explain(key, "sd")
        key.tick_params(labelsize=_TICK_POINTS)


def _draw_map(
    ax: Axes,
    scene: Scene,
    values: np.ndarray,
    norm: Normalize,
    cmap: str | Colormap,
    alpha: np.ndarray | None,
) -> None:
    """Draw spots on their tissue, as pixels where a file is of lines."""
    import spatialdata_plot  # noqa: F401  (registers the `.pl` accessor)

    column = "expression"
    sdata = scene.with_values(pd.DataFrame({column: values}))
    maps = sdata.pl.render_images(_keys.IMAGE, alpha=0.6, scale="full")
    if not np.isnan(values).all():
        maps = maps.pl.render_shapes(
            _keys.SPOTS,
            color=column,
            table_name=_keys.TABLE,
            cmap=cmap,
            norm=norm,
            scale=scene.spot_scale,
            colorbar=False,
            datashader_reduction="mean",
            method=None if alpha is None else "matplotlib",
        )
    n_before = len(ax.collections)
    with _without_a_word():
        maps.pl.show(coordinate_systems=_keys.COORDINATE_SYSTEM, ax=ax, show=False)
    for spots in ax.collections[n_before:]:
        spots.set_rasterized(True)
        if alpha is not None:
            spots.set_alpha(alpha.tolist())
    frame(ax, scene.window, scene.um_per_unit)


@contextmanager
def _without_a_word() -> Iterator[None]:
    """Keep spatialdata-plot from telling of each map that spots without a value are grey."""
    logger = logging.getLogger("spatialdata_plot._logging")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
