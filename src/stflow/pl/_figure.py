"""Figures: the conventions that all plots share. Matplotlib is imported inside the functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

AxesT = TypeVar("AxesT", "Axes", "list[Axes]")


def one_axes(
    ax: Axes | None, *, figsize: tuple[float, float], dpi: float | None, title: str | None
) -> Axes:
    """Return ``ax``, or the axes of a new figure, without the upper and right spines."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=figsize, dpi=dpi, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    if title is not None:
        ax.set_title(title)
    return ax


def finish(
    axes: AxesT, *, given: bool, show: bool | None, save: str | Path | None, return_ax: bool
) -> AxesT | None:
    """Save, show and return, as all plots do.

    ``given`` says that the axes are the caller's. With ``show=None`` a figure of ours is shown
    where a backend can show it, unless it was asked for otherwise, by ``save`` or ``return_ax``.
    The axes are returned when they were asked for or nothing was shown.
    """
    import matplotlib.pyplot as plt

    figure = (axes[0] if isinstance(axes, list) else axes).get_figure(root=True)
    if save is not None and figure is not None:
        figure.savefig(save, bbox_inches="tight", dpi=figure.dpi)
    if show is None:
        show = not (given or return_ax or save is not None) and can_show()
    if show:
        plt.show()
    return axes if return_ax or not show else None


def can_show() -> bool:
    """Whether the backend puts figures before a reader, in a window or a notebook."""
    import matplotlib
    from matplotlib.backends import BackendFilter, backend_registry

    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    return matplotlib.get_backend().lower() not in silent
