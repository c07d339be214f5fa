"""Figures: uncertainty as transparency, and the bar that explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAINTEST = 0.1


@dataclass(frozen=True, slots=True)
class Opacity:
    """How opaque spots are: those of the least standard deviation wholly, the others less.

    Parameters
    ----------
    low, high
        Least and greatest standard deviation of what is drawn together.
    """

    low: float
    high: float

    @classmethod
    def of(cls, deviations: Sequence[np.ndarray]) -> Opacity:
        """Return the opacity for standard deviations, each of shape (N,), some perhaps NaN."""
        known = np.concatenate([each[~np.isnan(each)] for each in deviations])
        return cls(float(known.min()), float(known.max())) if len(known) else cls(0.0, 0.0)

    def __call__(self, sd: np.ndarray) -> np.ndarray:
        """Opacity of spots, shape (N,); 1 where the standard deviation is unknown."""
        share = (sd - self.low) / ((self.high - self.low) or 1.0)
        return 1.0 - (1.0 - FAINTEST) * np.nan_to_num(share)

    def explain(self, bar: Axes, label: str) -> None:
        """Draw a bar of what each opacity stands for."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colorbar import Colorbar
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        ends = [(0.0, 0.0, 0.0, opacity) for opacity in (1.0, FAINTEST)]
        cmap = LinearSegmentedColormap.from_list("opacity", ends)
        high = self.high if self.high > self.low else self.low + 1.0
        Colorbar(bar, ScalarMappable(Normalize(self.low, high), cmap), label=label)
