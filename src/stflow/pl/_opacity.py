"""Figures: uncertainty as transparency, and the bar that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

FAINTEST = 0.1


@dataclass(frozen=True, slots=True)
class Opacity:
    """How opaque spots are: wholly where nothing is uncertain, and less in proportion.

    Parameters
    ----------
    most
        Standard deviation from which on they are faintest.
    """

    most: float

    @classmethod
    def on(cls, scale: Normalize) -> Opacity:
        """Return the opacity on a colour scale: faintest where two sd each way are all of it."""
        return cls((float(scale.vmax or 1.0) - float(scale.vmin or 0.0)) / 4)

    def __call__(self, sd: np.ndarray) -> np.ndarray:
        """Opacity of spots, shape (N,); 1 where the standard deviation is unknown."""
        return 1.0 - (1.0 - FAINTEST) * np.clip(np.nan_to_num(sd) / self.most, 0.0, 1.0)

    def explain(self, bar: Axes, label: str) -> None:
        """Draw a bar of what each opacity stands for."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colorbar import Colorbar
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        ends = [(0.0, 0.0, 0.0, opacity) for opacity in (1.0, FAINTEST)]
        cmap = LinearSegmentedColormap.from_list("opacity", ends)
        Colorbar(bar, ScalarMappable(Normalize(0.0, self.most), cmap), label=label, extend="max")
