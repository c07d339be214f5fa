"""Figures: how many maps of many genes and slides are laid out, and the scales they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stflow.pl._map_values import Kind, SlideMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

_PANEL_INCHES, _SMALL_INCHES, _MANY = 3.4, 2.6, 3


def scale_of(kind: Kind) -> str:
    """Name the colour scale that a kind of map shares with others."""
    return kind if kind in ("sd", "difference") else "expression"


def find_limits(
    maps: Sequence[SlideMaps],
    n_genes: int,
    kinds: Sequence[Kind],
    vmin: float | None,
    vmax: float | None,
) -> list[dict[str, Normalize]]:
    """Return for each gene its colour scales by name, common to all slides.

    That of expression takes ``vmin`` and ``vmax``; that of differences has zero in its middle, and
    that of standard deviations at its lower end.

    Raises
    ------
    ValueError
        ``vmin`` is not below ``vmax``.
    """
    from matplotlib.colors import Normalize

    if vmin is not None and vmax is not None and vmin >= vmax:
        raise ValueError(f"`vmin` must be below `vmax`, not {vmin} and {vmax}.")
    found: list[dict[str, Normalize]] = []
    for gene in range(n_genes):
        ends = {}
        for scale in {scale_of(kind) for kind in kinds}:
            shown = [kind for kind in kinds if scale_of(kind) == scale]
            values = np.concatenate([each.of(kind, gene) for each in maps for kind in shown])
            values = values[~np.isnan(values)]
            low, high = (values.min(), values.max()) if len(values) else (0.0, 0.0)
            if scale == "difference":
                high = max(abs(low), abs(high)) or 1.0
                low = -high
            elif scale == "sd":
                low = 0.0
            else:
                low, high = (low if vmin is None else vmin), (high if vmax is None else vmax)
            ends[scale] = Normalize(float(low), float(high if high > low else low + 1.0))
        found.append(ends)
    return found


def new_axes(
    maps: Sequence[SlideMaps],
    n_genes: int,
    n_kinds: int,
    ncols: int | None,
    figsize: tuple[float, float] | None,
    dpi: float | None,
    title: str | None,
) -> list[Axes]:
    """Return the axes of a new figure shaped like the tissue, for each gene all maps in a row."""
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    each = n_kinds * len(maps)
    across = min(n_genes, ncols or (4 if each == 1 else 1))
    down = math.ceil(n_genes / across)
    windows = np.array([one.scene.window for one in maps])
    ratio = np.mean((windows[:, 3] - windows[:, 1]) / (windows[:, 2] - windows[:, 0]))
    inches = _PANEL_INCHES if each <= _MANY else _SMALL_INCHES
    height = inches * float(np.clip(ratio, 0.3, 2.5)) + (0.3 if len(maps) == 1 else 0.5)
    width = inches * each + 1.0
    figure, grid = plt.subplots(
        down,
        across * each,
        figsize=figsize or (width * across, height * down),
        dpi=dpi,
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
        squeeze=False,
    )
    for unused in grid.flat[n_genes * each :]:
        unused.remove()
    if title is not None:
        figure.suptitle(title)
    return list(grid.flat[: n_genes * each])
