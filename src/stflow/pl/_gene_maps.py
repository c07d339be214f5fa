"""Maps of genes on the tissue: measured beside predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import get_table, require_sdata
from stflow._sdata.expression import (
    are_fractions,
    counting_of,
    given_spots,
    has_counts,
    read_measured,
    read_prediction,
    recorded_units,
    require_gene_list,
    require_genes,
)
from stflow._units import LABELS, Units, are_enough
from stflow._validation import listing, require_positive, warn
from stflow.pl._figure import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

    from stflow._sdata.scene import Scene

_PANEL_INCHES = 3.4
_IMAGE_PIXELS = 800


def gene_maps(
    sdata: SpatialData,
    genes: str | Sequence[str],
    key: str = _keys.PREDICTION,
    *,
    units: Units | None = None,
    layer: str | None = None,
    total_key: str | None = None,
    table_key: str = _keys.TABLE,
    image_key: str | None = None,
    image_mpp: float | None = None,
    shapes_key: str | None = None,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    title: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | None:
    """Draw the measured expression of genes beside the predicted one, on the H&E.

    Each gene has one colour scale for both maps, and its Pearson correlation in the title, over
    the spots but those whose counts were given to :func:`stflow.tl.predict` as ``observed``.
    Spots that measured too little, as :func:`stflow.tl.evaluate` has it, are grey and left out.
    Where none of the genes was measured, only predictions are drawn; of a gene that was measured
    and not predicted, the measurement, with a warning. Spots are drawn to scale, or enlarged, at
    most until they touch, where they would be too small to see. The image is read at a coarse
    level; ``sdata`` is left as it is.

    Parameters
    ----------
    sdata
        A slide that :func:`stflow.tl.predict` has written to.
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
        Column of ``.obs`` with the total counts of each spot, of a table that lacks genes of the
        fit. None: the sum over these.
    table_key
        Name of the table in ``sdata.tables``.
    image_key
        Image to draw on; None is the only one.
    image_mpp
        Micrometres per full-resolution pixel, for the scale bar; None is what
        ``sdata.attrs["slide_properties"]["mpp"]`` or the pitch of the spots of a known technology
        says. Where nothing tells, there is no bar, and a warning.
    shapes_key
        Spots to draw; None is the only element that the table annotates.
    coordinate_system
        Coordinate system in which image and spots are drawn. Where they do not share
        ``"global"``, the default takes the first that they share.
    cmap
        Colour map of the expression.
    vmin
        Expression, in the units of the prediction, at the lower end of every colour scale; None is
        the lowest value of the gene, measured or predicted.
    vmax
        Expression at the upper end; None is the highest value of the gene.
    ncols
        Number of genes in a row; None is one, or up to four where none was measured.
    figsize
        Width and height of the figure in inches; None follows from the tissue.
    dpi
        Dots per inch of the figure; None is matplotlib's.
    title
        Title of the figure.
    ax
        Axes to draw in, as many as there are maps; None makes a new figure.
    show
        Whether to show the figure; None shows it where that is possible, unless ``save``,
        ``return_ax`` or ``ax`` is given.
    save
        File to write the figure to.
    return_ax
        Whether to return the axes even when the figure is shown.

    Returns
    -------
    The axes, for each gene the measured and the predicted map, if they were asked for or the
    figure was not shown; else None.

    Raises
    ------
    KeyError
        The table, prediction, layer, image, spots or coordinate system are missing, a gene was
        neither predicted nor measured, or there are several images or spots to choose from.
    TypeError
        ``sdata`` is no SpatialData.
    ValueError
        Nothing tells the units of the prediction, or a table lacks genes that hold more than 5 %
        of the counts of the fit; the spots do not lie on the image, the counts are no raw counts,
        ``vmin`` is not below
        ``vmax``, or ``ax`` holds another number of axes than there are maps.

    Examples
    --------
    >>> stf.pl.gene_maps(test, ["ERBB2", "FASN"], save="maps.png")  # doctest: +SKIP
    """
    from stflow._sdata.scene import read_scene, read_stage
    from stflow.pl._draw import draw_maps

    require_sdata(sdata)
    table = get_table(sdata, table_key)
    names = require_gene_list(genes)
    require_positive(ncols or 1, name="ncols")
    where = f"table {table_key!r}"
    frame = read_prediction(table, key, where=where)
    known = np.isin(names, table.var_names) & has_counts(table, layer)
    _require_something(names, frame.columns, known, where)
    predicted = frame.reindex(columns=names).to_numpy(dtype=np.float64)
    counting: dict[str, Any] = {"units": units, "layer": layer, "total_key": total_key}
    if known.any():
        how, over = counting_of(table, key, where=where, **counting)
        found = read_measured(table, list(np.array(names)[known]), how, where=where, over=over)
    stage = read_stage(
        sdata,
        table,
        image_key=image_key,
        image_mpp=image_mpp,
        shapes_key=shapes_key,
        coordinate_system=coordinate_system,
    )
    scene = read_scene(stage, n_pixels=_IMAGE_PIXELS)
    values = {"predicted": predicted[scene.rows]}
    scored = ~given_spots(table, key, where=where)[scene.rows]
    if known.any():
        enough = are_enough(found.totals[scene.rows], how.min_counts)
        measured = np.full_like(values["predicted"], np.nan)
        measured[np.ix_(enough, known)] = found.expression[scene.rows][enough]
        values, scored = {"measured": measured, **values}, scored & enough
    limits = _limits(list(values.values()), vmin, vmax)
    axes = _axes(ax, scene, len(names), len(values), ncols, figsize, dpi, title)
    said = "fraction" if are_fractions(table, key) else "expression"
    unit = LABELS.get(units or recorded_units(table, key) or "", said)
    draw_maps(axes, scene, names, values, scored, limits, cmap, unit)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)


def _require_something(
    genes: Sequence[str], predicted: pd.Index, known: np.ndarray, where: str
) -> None:
    """Raise ``KeyError`` for genes that are nowhere, and say which are measured alone."""
    absent = [gene for gene, is_known in zip(genes, known, strict=True) if not is_known]
    require_genes(absent, predicted, what=f"the predicted genes of {where}")
    alone = [gene for gene in genes if gene not in predicted]
    if alone:
        warn(
            f"{listing(alone)} were not predicted, so their maps show what was measured alone. "
            "Name them in `stf.tl.fit(genes=...)` to predict them; predicted were "
            f"{listing(predicted, limit=5)}."
        )


def _limits(
    values: Sequence[np.ndarray], vmin: float | None, vmax: float | None
) -> list[Normalize]:
    """Return one colour scale a gene, common to all of its maps."""
    from matplotlib.colors import Normalize

    if vmin is not None and vmax is not None and vmin >= vmax:
        raise ValueError(f"`vmin` must be below `vmax`, not {vmin} and {vmax}.")
    low = np.nanmin(values, axis=(0, 1))
    high = np.nanmax(values, axis=(0, 1))
    low = low if vmin is None else np.full_like(low, vmin)
    high = high if vmax is None else np.full_like(high, vmax)
    high = np.where(high > low, high, low + 1.0)
    return [Normalize(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _axes(
    ax: Axes | Sequence[Axes] | None,
    scene: Scene,
    n_genes: int,
    n_kinds: int,
    ncols: int | None,
    figsize: tuple[float, float] | None,
    dpi: float | None,
    title: str | None,
) -> list[Axes]:
    """Return the caller's axes, or those of a new figure shaped like the tissue."""
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    n_maps = n_genes * n_kinds
    if ax is not None:
        axes = [ax] if isinstance(ax, Axes) else list(ax)
        if len(axes) != n_maps:
            raise ValueError(f"`ax` holds {len(axes)} axes for {n_maps} maps.")
        return axes
    across = min(n_genes, ncols or (1 if n_kinds == 2 else 4))
    down = math.ceil(n_genes / across)
    x0, y0, x1, y1 = scene.window
    height = _PANEL_INCHES * float(np.clip((y1 - y0) / (x1 - x0), 0.3, 2.5)) + 0.3
    width = _PANEL_INCHES * n_kinds + 1.0
    figure, grid = plt.subplots(
        down,
        across * n_kinds,
        figsize=figsize or (width * across, height * down),
        dpi=dpi,
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06),
        squeeze=False,
    )
    for unused in grid.flat[n_maps:]:
        unused.remove()
    if title is not None:
        figure.suptitle(title)
    return list(grid.flat[:n_maps])
