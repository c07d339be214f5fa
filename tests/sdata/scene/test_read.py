"""Which spots a plot shows, and where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from spatialdata.transformations import Identity, Scale, set_transformation

from stflow._sdata.scene import find_spots, read_stage

HOW = {"image_key": None, "image_mpp": None, "shapes_key": None, "coordinate_system": "global"}


def test_spots_lie_in_units_and_in_pixels(tissue):
    """A pixel is 2 units wide; negative control: the two differ."""
    sdata = tissue["S1"]
    wanted = sdata["table"].obsm["spatial"]
    for name in ("he", "spots"):
        set_transformation(sdata[name], Scale([2, 2], ("x", "y")), "global")
    stage = read_stage(sdata, sdata["table"], **HOW)
    np.testing.assert_allclose(stage.centres_px, wanted)
    np.testing.assert_allclose(stage.centres, 2 * wanted)
    assert (stage.units_per_pixel, stage.um_per_unit) == (pytest.approx(2), pytest.approx(2))


def test_what_is_known_of_the_spots_comes_with_them(two_regions):
    where = {"image_key": "he_a", "shapes_key": "a"}
    stage = read_stage(two_regions, two_regions["table"], **{**HOW, **where})
    assert set(stage.obs["region"]) == {"a"}
    assert list(stage.obs["spot_id"]) == list(stage.spots.index)
    alone = read_stage(two_regions, None, **{**HOW, **where})
    assert len(alone.spots) == len(stage.spots)
    assert alone.obs.empty


def test_a_system_that_only_one_of_them_is_in(tissue):
    sdata = tissue["S1"]
    set_transformation(sdata["he"], Identity(), "mm")
    with pytest.raises(KeyError, match="No coordinate system of 'spots' 'mm'; available: 'global'"):
        read_stage(sdata, sdata["table"], **{**HOW, "coordinate_system": "mm"})


def test_spots_with_and_without_a_table(tissue):
    sdata = tissue["S1"]
    assert find_spots(sdata, "table", None, "tissue") == (sdata["table"], None)
    sdata["outline"] = sdata["spots"].copy()
    assert find_spots(sdata, "table", "outline", "tissue") == (None, "outline")
    del sdata.tables["table"]
    assert find_spots(sdata, "table", None, "outline") == (None, "spots")
    with pytest.raises(KeyError, match="No table 'table' says which shapes are spots"):
        find_spots(sdata, "table", None, "tissue")
