"""Measured against predicted expression, spot by spot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata.expression import read_compared, require_gene_list
from stflow._units import LABELS, Units
from stflow._validation import require_positive
from stflow.metrics import pearson
from stflow.pl._figure import finish, given_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import Colormap

_PANEL_INCHES = 2.9
_BINS = (15, 60)
_MARGIN = 0.05


def scatter(
    data: SpatialData | AnnData | Mapping[str, SpatialData],
    genes: str | Sequence[str],
    key: str = _keys.PREDICTION,
    *,
    units: Units | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    min_counts: float | None = None,
    table_key: str = _keys.TABLE,
    cmap: str | Colormap = "viridis",
    ncols: int = 4,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    title: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | None:
    """Draw the measured expression of genes against the predicted one, as density of spots.

    Each gene has a panel of hexagons, coloured by how many spots they hold on one logarithmic
    scale for all, with the line where both are equal, the Pearson correlation and the number of
    spots. Spots whose counts were given to :func:`stflow.tl.predict` as ``observed`` are left
    out, and those that measured too little.

    Parameters
    ----------
    data
        A slide that :func:`stflow.tl.predict` has written to, its table, or several slides by
        name, whose spots are pooled.
    genes
        Genes to draw, in this order.
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
    table_key
        Name of the table in each ``data.tables``.
    cmap
        Colour map of the number of spots.
    ncols
        Number of panels in a row.
    figsize
        Width and height of the figure in inches; None follows from the number of genes.
    dpi
        Dots per inch of the figure; None is matplotlib's.
    title
        Title of the figure.
    ax
        Axes to draw in, one a gene; None makes a new figure.
    show
        Whether to show the figure; None shows it where that is possible, unless ``save``,
        ``return_ax`` or ``ax`` is given.
    save
        File to write the figure to.
    return_ax
        Whether to return the axes even when the figure is shown.

    Returns
    -------
    The axes, one a gene, if they were asked for or the figure was not shown; else None.

    Raises
    ------
    KeyError
        A slide has no table, prediction or layer, or lacks some genes.
    TypeError
        ``data`` holds something else, or ``.obsm[key]`` is not a DataFrame.
    ValueError
        Nothing was measured, the counts are not raw counts, the prediction is not finite, the
        slides were predicted in different units, nothing tells these, a table lacks genes that
        hold more than 5 % of the counts of the fit, all spots were observed, or ``ax`` holds
        another number of axes than there are genes.

    Warns
    -----
    UserWarning
        The model was trained on one of the slides.

    Examples
    --------
    >>> stf.pl.scatter(test, ["ERBB2", "FASN"])  # doctest: +SKIP
    """
    names = require_gene_list(genes)
    require_positive(ncols, name="ncols")
    counting: dict[str, Any] = {"units": units, "total_key": total_key, "min_counts": min_counts}
    _, slides = read_compared(data, key, layer=layer, genes=names, table_key=table_key, **counting)
    measured, predicted = (
        np.concatenate([getattr(slide, part) for slide in slides])
        for part in ("measured", "predicted")
    )
    if ax is None:
        axes = _new_axes(len(names), ncols, figsize, dpi, title)
    else:
        axes = given_axes(ax, len(names), what="genes")
    _draw(axes, names, measured, predicted, cmap, LABELS[slides[0].units])
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)


def _new_axes(
    n_genes: int,
    ncols: int,
    figsize: tuple[float, float] | None,
    dpi: float | None,
    title: str | None,
) -> list[Axes]:
    import matplotlib.pyplot as plt

    across = min(n_genes, ncols)
    down = math.ceil(n_genes / across)
    size = figsize or (_PANEL_INCHES * across + 0.9, (_PANEL_INCHES + 0.3) * down)
    how: dict[str, Any] = {"dpi": dpi, "layout": "constrained", "squeeze": False}
    figure, grid = plt.subplots(down, across, figsize=size, **how)
    for unused in grid.flat[n_genes:]:
        unused.remove()
    if title is not None:
        figure.suptitle(title)
    return list(grid.flat[:n_genes])


def _draw(
    axes: Sequence[Axes],
    genes: Sequence[str],
    measured: np.ndarray,
    predicted: np.ndarray,
    cmap: str | Colormap,
    unit: str,
) -> None:
    """Draw a panel a gene, and beside the last one what its colours mean."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import LogNorm

    correlations = pearson(measured, predicted)
    panels = list(zip(axes, genes, predicted.T, measured.T, correlations, strict=True))
    hexagons = [_draw_density(ax, x, y) for ax, _, x, y, _ in panels]
    most = max(int(np.max(np.asarray(each.get_array()))) for each in hexagons)
    norm = LogNorm(1, max(most, 2))
    for each, (ax, gene, _, _, score) in zip(hexagons, panels, strict=True):
        each.set(norm=norm, cmap=cmap)
        told = "undefined" if np.isnan(score) else f"{score:.2f}"
        n_spots = len(measured)
        label = f"Pearson {told}, {n_spots:,} spot{'s' if n_spots != 1 else ''}"
        ax.set_title(f"{gene}\n{label}", fontsize=10)
        ax.set(xlabel="predicted", ylabel="measured")
    axes[0].set(xlabel=f"predicted, {unit}", ylabel=f"measured, {unit}")
    bar = axes[-1].inset_axes((1.05, 0.0, 0.05, 1.0))
    Colorbar(bar, ScalarMappable(norm, cmap), label="spots", format="%g")
    bar.tick_params(labelsize=8)


def _draw_density(ax: Axes, x: np.ndarray, y: np.ndarray) -> PolyCollection:
    """Draw hexagons over a square that holds all spots, and its diagonal."""
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    ends += np.array([-1, 1]) * (_MARGIN * np.ptp(ends) or 0.5)
    bins = int(np.clip(math.sqrt(len(x)), *_BINS))
    drawn = ax.hexbin(
        x, y, gridsize=bins, extent=(*ends, *ends), mincnt=1, linewidths=0.3, rasterized=True
    )
    ax.plot(ends, ends, color="0.5", linestyle="--", linewidth=1)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.spines[["top", "right"]].set_visible(False)
    return drawn
