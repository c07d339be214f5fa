"""Spots on their H&E: the first check of scale, flips and registration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import require_sdata
from stflow.pl._figure import finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


def spots(
    sdata: SpatialData,
    color: str | None = None,
    *,
    table_key: str = _keys.TABLE,
    image_key: str | None = None,
    image_mpp: float | None = None,
    shapes_key: str | None = None,
    tissue_key: str | None = _keys.TISSUE,
    coordinate_system: str = _keys.COORDINATE_SYSTEM,
    cmap: str | Colormap = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
    title: str | None = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | None:
    """Draw the spots, bins or cells on the whole slide, and some of them closely, at true size.

    It is the first check of a slide. Spots on glass beside tissue without spots say that the image
    is mirrored, turned, shifted or another one; spots that cover a part of the tissue only, or
    lie beyond it, that the scale is wrong; the close-up shows whether spots, bins or outlines of
    cells sit where they should. In the whole slide, spots that are too small or too many for
    their outlines are dots. ``sdata`` is left as it is.

    Parameters
    ----------
    sdata
        A slide with an H&E image and spots, with or without a table.
    color
        A colour for the outlines, or a column of ``.obs`` to fill the spots by.
    table_key
        Name of the table in ``sdata.tables``; where there is none, shapes are drawn without.
    image_key
        Image to draw on; None is the only one.
    image_mpp
        Micrometres per full-resolution pixel, for the scale bars; None is what the slide records,
        or what the pitch of the spots of a known technology says. Where nothing tells, there is
        no bar, and a warning.
    shapes_key
        Spots to draw; None is the only element that the table annotates, or without a table the
        only shapes that there are beside the tissue.
    tissue_key
        Shapes to outline as tissue, where there are any; None draws no tissue.
    coordinate_system
        Coordinate system in which image and spots are drawn. Where they do not share
        ``"global"``, the default takes the first that they share.
    cmap
        Colour map of a column of numbers.
    vmin
        Number at the lower end of the colour scale; None is the lowest.
    vmax
        Number at the upper end; None is the highest.
    figsize
        Width and height of the figure in inches; None follows from the slide.
    dpi
        Dots per inch of the figure; None is matplotlib's.
    title
        Title of the figure.
    ax
        Two axes to draw in, for the slide and for the close-up; None makes a new figure.
    show
        Whether to show the figure; None shows it where that is possible, unless ``save``,
        ``return_ax`` or ``ax`` is given.
    save
        File to write the figure to.
    return_ax
        Whether to return the axes even when the figure is shown.

    Returns
    -------
    The axes of the slide and of the close-up, if they were asked for or the figure was not shown;
    else None.

    Raises
    ------
    KeyError
        The table, image, spots, tissue, coordinate system or column are missing, or there are
        several images or spots to choose from.
    TypeError
        ``sdata`` is no SpatialData.
    ValueError
        There are no spots, the table annotates no element, ``vmin`` is not below ``vmax``, or
        ``ax`` does not hold two axes.

    Warns
    -----
    UserWarning
        Nothing tells the scale, or what tells it differs.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> axes = stf.pl.spots(sdata, show=False)
    """
    from stflow._sdata.scene import find_spots, read_stage, read_tissue
    from stflow.pl._draw_spots import draw_spots, new_axes
    from stflow.pl._fill import read_fill

    require_sdata(sdata)
    if ax is not None and len(list(ax)) != 2:
        raise ValueError(f"`ax` holds {len(list(ax))} axes; pass two, for slide and close-up.")
    table, shapes_key = find_spots(sdata, table_key, shapes_key, tissue_key)
    stage = read_stage(
        sdata,
        table,
        image_key=image_key,
        image_mpp=image_mpp,
        shapes_key=shapes_key,
        coordinate_system=coordinate_system,
    )
    fill = read_fill(stage.obs, color, cmap=cmap, vmin=vmin, vmax=vmax)
    tissue = read_tissue(sdata, tissue_key, stage.system)
    axes = list(ax) if ax is not None else new_axes(stage, figsize, dpi, title)
    draw_spots(axes, stage, fill, tissue)
    return finish(axes, given=ax is not None, show=show, save=save, return_ax=return_ax)
