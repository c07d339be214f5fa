"""Fixtures shared by the tests of readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pandas as pd
import pytest

PITCH_PX = 40.0


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """Folder, places of the spots, counts; the image lies in the folder."""
    root = tmp_path / "outs"
    places, counts = outputs.visium(root, pitch_px=PITCH_PX)
    outputs.write_image(root / "tissue_image.tif", 330, 300)
    return root, places, counts
