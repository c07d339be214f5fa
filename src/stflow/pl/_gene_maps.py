"""Maps of genes on the tissue: what was measured, what is predicted, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import as_mapping
from stflow._sdata.expression import require_gene_list
from stflow._units import Units
from stflow._validation import require_positive
from stflow.pl._figure import finish, given_axes
from stflow.pl._map_values import Kind, default_kinds, read_maps, require_kinds, require_one_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_IMAGE_PIXELS = 800


def gene_maps(
    sdata: SpatialData | Mapping[str, SpatialData],
    genes: str | Sequence[str],
    key: str = _keys.PREDICTION,
    *,
    kinds: Kind | Sequence[Kind] | None = None,
    level: float = 0.9,
    fade: bool = False,
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
    """Draw what was measured of genes or gene sets beside what is predicted, on the H&E.

    Each gene has one colour scale for all maps of expression and all slides, and its Pearson
    correlation in the title, over the spots but those whose counts were given to
    :func:`stflow.tl.predict` as ``observed``. Spots that measured too little, as
    :func:`stflow.tl.evaluate` has it, are grey and left out. Standard deviations have a scale of
    their own, from zero, and differences one with zero in the middle. Of a gene that was measured
    and not predicted, the measurement is drawn, with a warning. Spots are drawn to scale, or
    enlarged, at most until they touch, where they would be too small to see. The image is read at
    a coarse level; ``sdata`` is left as it is.

    Parameters
    ----------
    sdata
        A slide that :func:`stflow.tl.predict` has written to, or several by name, which stand
        side by side.
    genes
        Genes to draw, in this order; or gene sets, where ``key`` names their scores.
    key
        Name of the prediction (the ``key_added`` of :func:`stflow.tl.predict`), or of scores of
        :func:`stflow.tl.score_genes`, as ``"stflow_scores"``. What was measured of a set is the
        mean over the genes that its score is of.
    kinds
        What to draw of each gene, one or several of ``"measured"``, ``"predicted"``, ``"sd"`` (the
        standard deviation of the prediction), ``"difference"`` (predicted minus measured), and
        ``"lower"`` and ``"upper"``, the bounds of :func:`stflow.get.intervals`. None: measured
        beside predicted, or predicted alone where none of the genes was measured.
    level
        Share of the measurements that lie between ``"lower"`` and ``"upper"``, between 0 and 1.
    fade
        Whether to draw predicted spots the more transparent, the larger their standard deviation
        is: not at all where it is zero, nearly wholly where two of it each way are the whole colour
        scale or more. More than 10,000 spots take some seconds a map.
    units
        Units of a prediction of which ``.uns[key]`` does not tell: ``"cp10k"`` or ``"counts"``.
        None: what it tells.
    layer
        Layer that holds the raw counts; None is ``.X``.
    total_key
        Column of ``.obs`` with the total counts of each spot, of a table that lacks genes of the
        fit. None: the sum over these.
    table_key
        Name of the table in each ``sdata.tables``.
    image_key
        Image to draw on; None is the only one. This and what follows is the same for all slides.
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
        Expression, in the units of the prediction, at the lower end of every colour scale of
        expression; None is the lowest value of the gene that is drawn.
    vmax
        Expression at the upper end; None is the highest value of the gene.
    ncols
        Number of genes in a row; None is one, or up to four where each has a single map.
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
        File to write the figure to. In PDF and SVG, spots are pixels, 300 to the inch or ``dpi``
        if that is more, and text remains text.
    return_ax
        Whether to return the axes even when the figure is shown.

    Returns
    -------
    The axes, for each gene those of each slide, one a kind, if they were asked for or the figure
    was not shown; else None.

    Raises
    ------
    KeyError
        The table, prediction, standard deviation, layer, image, spots or coordinate system are
        missing, a gene was neither predicted nor measured, there is no such set, or there are
        several images or spots to choose from.
    TypeError
        ``sdata`` is no SpatialData.
    ValueError
        ``kinds`` are unknown, or ask for a measurement where there is none; nothing tells the
        units of the prediction, those of slides differ, or a table lacks genes that hold more than
        5 % of the counts of the fit; the spots do not lie on the image, the counts are no raw
        counts, ``level`` is not between 0 and 1, ``vmin`` is not below ``vmax``, or ``ax`` holds
        another number of axes than there are maps.

    Examples
    --------
    >>> stf.pl.gene_maps(test, ["ERBB2", "FASN"], save="maps.png")  # doctest: +SKIP
    >>> stf.pl.gene_maps(test, "ERBB2", kinds=["predicted", "sd"])  # doctest: +SKIP
    >>> bounds = ["lower", "predicted", "upper"]
    >>> stf.pl.gene_maps(test, "HER2", "stflow_scores", kinds=bounds)  # doctest: +SKIP
    """
    from stflow.pl._draw import draw_maps
    from stflow.pl._map_layout import find_limits, new_axes

    names, asked = require_gene_list(genes), require_kinds(kinds, fade=fade)
    require_positive(ncols or 1, name="ncols")
    slides = as_mapping(sdata) if isinstance(sdata, Mapping) else {"": sdata}
    counting: dict[str, Any] = {"units": units, "layer": layer, "total_key": total_key}
    place: dict[str, Any] = {
        "image_key": image_key,
        "image_mpp": image_mpp,
        "shapes_key": shapes_key,
        "coordinate_system": coordinate_system,
    }
    reading: dict[str, Any] = {"table_key": table_key, "n_pixels": _IMAGE_PIXELS}
    reading |= {"kinds": asked, "fade": fade, "level": level, "counting": counting, "place": place}
    maps = [read_maps(each, name, names, key, **reading) for name, each in slides.items()]
    require_one_unit(maps)
    drawn = asked or default_kinds(maps)
    limits = find_limits(maps, len(names), drawn, vmin, vmax)
    if ax is None:
        axes = new_axes(maps, len(names), len(drawn), ncols, figsize, dpi, title)
    else:
        axes = given_axes(ax, len(names) * len(maps) * len(drawn), what="maps")
    draw_maps(axes, maps, names, drawn, limits, cmap=cmap, level=level, fade=fade)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)
