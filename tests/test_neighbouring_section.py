"""The page on the H&E of a neighbouring section: landmarks place spots on another image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spatialdata import SpatialData, get_pyramid_levels
from spatialdata.models import Image2DModel
from spatialdata.transformations import Identity

import stflow as stf

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "neighbouring_section.md"
MPP = 2.0
LOOK: dict[str, Any] = {
    "encoder": lambda tiles: tiles.mean((2, 3)),
    "widths_um": 200.0,
    "tile_px": 100,
    "show_progress_bar": False,
}


def turned(sdata: SpatialData) -> SpatialData:
    """Turn the image of a slide by a quarter, with glass on two sides: a section beside it."""
    image = get_pyramid_levels(sdata["he"], n=0).transpose("c", "y", "x").to_numpy()
    image = np.pad(np.rot90(image, axes=(1, 2)), ((0, 0), (40, 0), (24, 0)), constant_values=255)
    element = Image2DModel.parse(image, dims=("c", "y", "x"), c_coords=["r", "g", "b"])
    return SpatialData(images={"he": element}, attrs={"slide_properties": {"mpp": MPP}})


def colours(sdata: SpatialData, **image: Any) -> np.ndarray:
    """Mean colours around each spot."""
    return stf.pp.embed(sdata, inplace=False, **LOOK, **image).obsm["X_embedding"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code of the page makes, with made-up sections in the place of files."""
    measured = stf.datasets.synthetic(1, n_spots=60, image_mpp=MPP)["S1"]
    beside = turned(measured)
    width = get_pyramid_levels(measured["he"], n=0).sizes["x"]
    on_measured = np.array([(100, 100), (width - 90, 130), (width - 80, 700), (130, 720)])
    x, y = on_measured.T
    monkeypatch.setattr(stf.io, "read_visium", lambda *args, **kwargs: measured)
    monkeypatch.setattr(stf.io, "read_wsi", lambda path: beside)
    code = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)[0]
    made = {"Identity": Identity, "measured": on_measured, "turned": np.c_[y + 24, width - x + 40]}
    code = re.sub(r"^on_measured = .*$", "on_measured = measured", code, flags=re.M)
    code = re.sub(r"^on_beside = .*$", "on_beside = turned", code, flags=re.M)
    exec(code, made)
    return made


def test_spots_see_on_the_other_image_what_they_see_on_their_own(names: dict[str, Any]):
    sdata = names["sdata"]
    own = colours(sdata, image_key="he")
    beside = colours(sdata, image_key="he_beside", image_mpp=MPP)
    assert np.corrcoef(own[:, 0], beside[:, 0])[0, 1] > 0.99
    np.testing.assert_allclose(own, beside, atol=0.1)


def test_without_landmarks_they_do_not(names: dict[str, Any]):
    sdata = names["sdata"]
    own = colours(sdata, image_key="he")
    sdata["he_unplaced"] = names["beside"]["he"]
    names["set_transformation"](sdata["he_unplaced"], names["Identity"](), "global")
    unplaced = colours(sdata, image_key="he_unplaced", image_mpp=MPP)
    assert np.corrcoef(own[:, 0], unplaced[:, 0])[0, 1] < 0.5
