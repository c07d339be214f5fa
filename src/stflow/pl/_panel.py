"""Figures: the H&E of a panel, what it shows of the plane, and its scale bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xarray import DataArray

from stflow import _keys
from stflow._sdata.scene import image_alone

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Window = tuple[float, float, float, float]


def draw_image(ax: Axes, image: DataArray) -> None:
    """Draw an image of a scene where it lies."""
    import spatialdata_plot  # noqa: F401  (registers the `.pl` accessor)

    drawn = image_alone(image).pl.render_images(_keys.IMAGE, scale="full")
    drawn.pl.show(coordinate_systems=_keys.COORDINATE_SYSTEM, ax=ax, show=False)


def frame(ax: Axes, window: Window, um_per_unit: float | None) -> None:
    """Show a window (least x, least y, greatest x, greatest y), y down, with its scale bar."""
    x0, y0, x1, y1 = window
    ax.set(xlim=(x0, x1), ylim=(y1, y0), xticks=[], yticks=[], xlabel="", ylabel="", aspect="equal")
    if um_per_unit is not None:
        _draw_scale_bar(ax, um_per_unit, x1 - x0)


def _draw_scale_bar(ax: Axes, um_per_unit: float, width: float) -> None:
    """Draw a bar of 1, 2 or 5 times a power of ten micrometres, about a fifth of the map."""
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    goal = 0.2 * width * um_per_unit
    decade = 10.0 ** math.floor(math.log10(goal))
    length_um = max(step * decade for step in (1, 2, 5) if step * decade <= goal)
    bar = AnchoredSizeBar(
        ax.transData,
        length_um / um_per_unit,
        f"{length_um:g} µm",
        loc="lower right",
        pad=0.3,
        sep=3,
        size_vertical=0.006 * width,
        frameon=True,
    )
    bar.patch.set(alpha=0.7, edgecolor="none")
    ax.add_artist(bar)
