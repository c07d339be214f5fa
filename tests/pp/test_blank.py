"""Spots on glass: what embed says of them, whatever the scales, regions and cache."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from geopandas import points_from_xy
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel
from support import colours

import stflow as stf
from stflow._sdata._images import get_pyramid

SIDE = 480
HOW = {"mpp": 1.0, "tile_px": 16, "device": "cpu", "show_progress_bar": False}


def slide(*, mirrored: bool = False) -> SpatialData:
    """Spots on the tissue, which is the left half of the image, or mirrored the right."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(238, 2, (3, SIDE, SIDE))
    pixels[:, :, : SIDE // 2] = rng.integers(60, 220, (3, SIDE, SIDE // 2))
    pixels = pixels[:, :, ::-1] if mirrored else pixels
    sdata = SpatialData(
        images={
            "he": Image2DModel.parse(pixels.astype(np.uint8), dims="cyx", c_coords=list("rgb"))
        },
        attrs={"slide_properties": {"mpp": 1.0}},
    )
    stf.pp.grid(sdata, 30, tissue_key=None, lattice="square")
    left = sdata["spots"].geometry.x.to_numpy() < SIDE / 2 - 15
    sdata["table"] = sdata["table"][left].copy()
    return sdata


def quietly(sdata: SpatialData, **kwargs) -> None:
    """Embed where a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stf.pp.embed(sdata, encoder=colours, **HOW | kwargs)


def test_spots_of_a_mirrored_image_lie_on_glass() -> None:
    sdata = slide(mirrored=True)
    with pytest.warns(UserWarning, match=r"100% of the spots of 'spots' lie on bare glass") as told:
        stf.pp.embed(sdata, encoder=colours, **HOW)
    assert [str(each.message).count("mirrored") for each in told] == [1]
    assert told[0].filename == __file__
    assert sdata["table"].uns["X_embedding"]["blank"] == {"spots": 1.0}


def test_spots_on_tissue_are_nothing_to_speak_of() -> None:
    sdata = slide()
    quietly(sdata)
    assert sdata["table"].uns["X_embedding"]["blank"] == {"spots": 0.0}


def test_the_closest_look_counts() -> None:
    """A wide tile sees the tissue beyond the glass."""
    sdata = slide(mirrored=True)
    quietly(sdata, mpp=30.0)
    for mpp in ((30.0, 1.0), (1.0, 30.0)):
        with pytest.warns(UserWarning, match="100% of the spots"):
            stf.pp.embed(sdata, encoder=colours, **HOW | {"mpp": mpp}, overwrite=True)


def test_the_cache_changes_nothing(tmp_path) -> None:
    sdata = slide(mirrored=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match="100% of the spots"):
            stf.pp.embed(sdata, encoder="efficientnet_lite0", cache=tmp_path, overwrite=True, **HOW)


def test_each_region_is_judged_by_itself(two_regions) -> None:
    white = np.full((3, 600, 600), 250, np.uint8)
    two_regions["glass"] = Image2DModel.parse(white, dims="cyx", c_coords=list("rgb"))
    how = {**HOW, "mpp": 8.0, "overwrite": True, "image_mpp": 4.0}
    with pytest.warns(UserWarning, match="100% of the spots of 'b' lie on bare glass") as told:
        stf.pp.embed(two_regions, encoder=colours, image_key={"a": "he_a", "b": "glass"}, **how)
    assert len(told) == 1
    assert two_regions["table"].uns["X_embedding"]["blank"] == {"a": 0.0, "b": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("section", ["C2", "C5"])
def test_real_sections_are_silent_and_mirrored_ones_are_not(data_dir, section) -> None:
    sdata = stf.datasets.her2st(section)
    how = {**HOW, "mpp": 3.5, "tile_px": 32}
    quietly(sdata, **how)
    assert sdata["table"].uns["X_embedding"]["blank"] == {"spots": 0.0}
    width = get_pyramid(sdata, "he")[0].size[0]
    spots = sdata["spots"]
    x, y = width - spots.geometry.x, spots.geometry.y
    sdata["spots"] = ShapesModel.parse(spots.assign(geometry=points_from_xy(x, y)))
    with pytest.warns(UserWarning, match=r"[2-4]\d% of the spots of 'spots' lie on bare glass"):
        stf.pp.embed(sdata, encoder=colours, overwrite=True, **how)


@pytest.mark.slow
def test_a_grid_on_the_tissue_of_a_real_scan_is_silent(data_dir) -> None:
    sdata = stf.io.read_wsi(data_dir / "wsi" / "CMU-1-Small-Region.svs")
    stf.pp.detect_tissue(sdata)
    stf.pp.grid(sdata, 50)
    quietly(sdata, mpp=2.0, tile_px=56)
    stf.pp.grid(sdata, 50, tissue_key=None, overwrite=True)
    with pytest.warns(UserWarning, match=r"[34]\d% of the spots of 'spots' lie on bare glass"):
        stf.pp.embed(sdata, encoder=colours, **HOW | {"mpp": 2.0, "tile_px": 56})
