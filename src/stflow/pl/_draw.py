"""Figures: one map a gene and kind of value, on arrays and the scene that they lie on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stflow import _keys
from stflow._sdata.scene import Scene
from stflow.metrics import pearson
from stflow.pl._panel import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

_TITLE_POINTS = 10
_TICK_POINTS = 8


def draw_maps(
    axes: Sequence[Axes],
    scene: Scene,
    genes: Sequence[str],
    values: dict[str, np.ndarray],
    scored: np.ndarray,
    limits: Sequence[Normalize],
    cmap: str | Colormap,
    unit: str,
) -> None:
    """Draw every gene's maps, one a kind of value, and its colour bar beside the last.

    ``scored`` tells the spots that a correlation is over, ``unit`` what the values are. Spots
    without a value are grey.
    """
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar

    remaining = iter(axes)
    for i, (gene, norm) in enumerate(zip(genes, limits, strict=True)):
        columns = {kind: array[:, i] for kind, array in values.items()}
        for kind, column in columns.items():
            panel = next(remaining)
            _draw_map(panel, scene, column, norm, cmap)
            panel.set_title(_title(gene, kind, columns, scored), fontsize=_TITLE_POINTS)
        bar = panel.inset_axes((1.03, 0.0, 0.04, 1.0))
        Colorbar(bar, ScalarMappable(norm, plt.get_cmap(cmap)), label=unit)
        bar.tick_params(labelsize=_TICK_POINTS)


def _title(gene: str, kind: str, columns: dict[str, np.ndarray], scored: np.ndarray) -> str:
    """Name a map, and on the predicted one the correlation with what was measured."""
    measured = columns.get("measured")
    known = measured is not None and not np.isnan(measured).all()
    if kind == "measured":
        return f"{gene} measured" if known else f"{gene} not measured"
    if np.isnan(columns[kind]).all():
        return f"{gene} not predicted"
    if measured is None or not known or not scored.any():
        return f"{gene} predicted"
    score = pearson(*(columns[kind][scored, None] for kind in ("measured", "predicted")))[0]
    return f"{gene} predicted (Pearson {'undefined' if np.isnan(score) else f'{score:.2f}'})"


def _draw_map(
    ax: Axes, scene: Scene, values: np.ndarray, norm: Normalize, cmap: str | Colormap
) -> None:
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
        )
    with _without_a_word():
        maps.pl.show(coordinate_systems=_keys.COORDINATE_SYSTEM, ax=ax, show=False)
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
