"""Figures: what colour each spot has, and the key that explains it. Tables and arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stflow._validation import listing
from stflow.pl._colours import CATEGORIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

PLAIN = "#22c800"
UNKNOWN = "0.7"
MOST_NAMED = 20


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """Colours of spots.

    Parameters
    ----------
    colours
        One colour, or one for each spot, shape (N, 4).
    name
        The column that they show; empty for one colour.
    categories
        Colours by category.
    norm, cmap
        The scale of a column of numbers.
    """

    colours: Any
    name: str = ""
    categories: dict[str, Any] | None = None
    norm: Normalize | None = None
    cmap: str | Colormap = "viridis"

    def of(self, at: np.ndarray) -> Any:
        """Colours of some of the spots."""
        return self.colours[at] if self.name else self.colours

    def explain(self, ax: Axes) -> None:
        """Draw a colour bar or a legend on the right of the axes, where there is something to."""
        import matplotlib.pyplot as plt
        from matplotlib.cm import ScalarMappable
        from matplotlib.colorbar import Colorbar
        from matplotlib.patches import Patch

        if self.norm is not None:
            bar = ax.inset_axes((1.03, 0.0, 0.04, 1.0))
            Colorbar(bar, ScalarMappable(self.norm, plt.get_cmap(self.cmap)), label=self.name)
            bar.tick_params(labelsize=8)
        elif self.categories is not None:
            shown = list(self.categories.items())[:MOST_NAMED]
            patches = [Patch(color=colour, label=label) for label, colour in shown]
            more = len(self.categories) - len(shown)
            title = self.name + (f" (and {more} more)" if more else "")
            where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
            ax.legend(handles=patches, title=title, frameon=False, fontsize=8, **where)


def read_fill(
    columns: pd.DataFrame,
    color: str | None,
    *,
    cmap: str | Colormap,
    vmin: float | None,
    vmax: float | None,
) -> Fill:
    """Return the colours of spots.

    Parameters
    ----------
    columns
        What is known of each spot.
    color
        One of the columns, or a colour of matplotlib; None is green.
    cmap, vmin, vmax
        Colours of numbers, and the ends of their scale.

    Raises
    ------
    KeyError
        There is no such column, and no such colour.
    ValueError
        ``vmin`` is not below ``vmax``.
    """
    from matplotlib.colors import is_color_like

    if vmin is not None and vmax is not None and vmin >= vmax:
        raise ValueError(f"`vmin` must be below `vmax`, not {vmin} and {vmax}.")
    if color is None:
        return Fill(PLAIN)
    if color in columns:
        values = columns[color]
        is_number = pd.api.types.is_numeric_dtype(values) and values.dtype != bool
        return _numbers(values, cmap, vmin, vmax) if is_number else _categories(values)
    if is_color_like(color):
        return Fill(color)
    raise KeyError(
        f"`color` is {color!r}, no colour and no column of .obs; available: "
        f"{listing(columns.columns)}."
    )


def _numbers(
    column: pd.Series, cmap: str | Colormap, vmin: float | None, vmax: float | None
) -> Fill:
    import matplotlib.pyplot as plt
    from matplotlib.colors import Normalize

    values = column.to_numpy(dtype=float)
    known = values[np.isfinite(values)]
    low = float(known.min()) if vmin is None and len(known) else vmin or 0.0
    high = float(known.max()) if vmax is None and len(known) else vmax or 1.0
    norm = Normalize(low, high if high > low else low + 1.0)
    colours = plt.get_cmap(cmap)(norm(values))
    return Fill(_greyed(colours, ~np.isfinite(values)), str(column.name), None, norm, cmap)


def _categories(column: pd.Series) -> Fill:
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    kinds = column.astype("category").cat.remove_unused_categories()
    names = [str(name) for name in kinds.cat.categories]
    few, some = ListedColormap(CATEGORIES), plt.get_cmap("tab20")
    many = some if len(names) <= some.N else plt.get_cmap("turbo", len(names))
    palette = few if len(names) <= few.N else many
    every = palette(np.arange(len(names)))
    codes = kinds.cat.codes.to_numpy()
    colours = _greyed(every[codes] if len(names) else np.zeros((len(codes), 4)), codes < 0)
    return Fill(colours, str(column.name), dict(zip(names, every, strict=True)))


def _greyed(colours: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    from matplotlib.colors import to_rgba

    colours[unknown] = to_rgba(UNKNOWN)
    return colours
