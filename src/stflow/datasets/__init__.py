"""Ready-made slides: real tissue to download, and a tissue with a known law."""

from __future__ import annotations

from stflow.datasets._her2st import her2st, her2st_sections
from stflow.datasets._synthetic import redraw, synthetic
from stflow.datasets._synthetic_cells import synthetic_cells

__all__ = ["her2st", "redraw", "synthetic", "synthetic_cells"]
