"""Figures: the conventions that all plots share. Matplotlib is imported inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_VECTOR = {".eps", ".pdf", ".ps", ".svg", ".svgz"}
_PRINT = 300.0
_TEXT: dict[Any, Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}
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


def given_axes(ax: Axes | Sequence[Axes], number: int, *, what: str) -> list[Axes]:
    """Return the caller's axes.

    Raises
    ------
    ValueError
        They are not as many as there are of ``what`` is drawn.
    """
    from matplotlib.axes import Axes

    axes: list[Axes] = [ax] if isinstance(ax, Axes) else list(np.ravel(np.array(ax, dtype=object)))
    if len(axes) != number:
        raise ValueError(f"`ax` holds {len(axes)} axes for {number} {what}.")
    return axes


def finish(
    axes: AxesT, *, given: bool, show: bool | None, save: str | Path | None, return_ax: bool
) -> AxesT | None:
    """Save, show and return, as all plots do.

    ``given`` says that the axes are the caller's. With ``show=None`` a figure of ours is shown
    where a backend can show it, unless it was asked for otherwise, by ``save`` or ``return_ax``.
    The axes are returned when they were asked for or nothing was shown. In files of lines, what
    is rasterised is so for print, and text remains text.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    figure = (axes[0] if isinstance(axes, list) else axes).get_figure(root=True)
    if save is not None and figure is not None:
        is_vector = Path(save).suffix.lower() in _VECTOR
        with matplotlib.rc_context(_TEXT):
            figure.savefig(
                save, bbox_inches="tight", dpi=max(figure.dpi, _PRINT) if is_vector else figure.dpi
            )
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
