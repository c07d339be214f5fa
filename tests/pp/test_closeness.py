"""What is said of images that show nothing as close as is asked for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import stflow as stf
from stflow._sdata import Region
from stflow._sdata._tables import get_regions
from stflow._sdata.places import PlacedSpots, spots_on_image
from stflow._widths import DEFAULT_WIDTHS_UM
from stflow.pp._closeness import check_closeness
from stflow.pp._look import Look


def tiles(*widths_um: float, tile_px: int = 224) -> Look:
    return Look("tiles", list(widths_um), [width / tile_px for width in widths_um], tile_px)


def area(mpp: float, *widths_um: float) -> Look:
    return Look("area", list(widths_um), [mpp], 0)


def place(image_mpp: float, image_key: str = "he") -> PlacedSpots:
    """Return spots on an image of which nothing but the scale matters."""
    names = np.array(["s0"])
    region = Region("spots", np.arange(1), names)
    return PlacedSpots(region, image_key, [], np.zeros((1, 2)), image_mpp)


def test_each_image_that_is_too_coarse_is_told() -> None:
    places = [place(0.5), place(4.0, "hires"), place(20.0, "lowres")]
    with pytest.warns(UserWarning, match="um per pixel") as told:
        check_closeness(places, tiles(448, 112))
    assert [str(each.message)[:27] for each in told] == [
        "Image 'hires' has 4 um per ",
        "Image 'lowres' has 20 um pe",
    ]
    assert "`widths_um=` at 256 or more" in str(told[1].message)


@pytest.mark.parametrize(
    ("image_mpp", "widths", "tile_px"),
    [(2.5, DEFAULT_WIDTHS_UM, 224), (4.0, (224, 448), 224), (8.7, DEFAULT_WIDTHS_UM, 64)],
)
def test_up_to_five_times_is_no_news(image_mpp, widths, tile_px) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_closeness([place(image_mpp)], tiles(*widths, tile_px=tile_px))


def test_a_tile_of_less_than_a_pixel_shows_nothing() -> None:
    with pytest.raises(ValueError, match=r"Tiles of 0\.5 um .* 'he', 0\.6 um\. .* are `mpp=`"):
        check_closeness([place(0.6)], tiles(112, 0.5))
    with pytest.warns(UserWarning, match="are 1 of its pixels"):
        check_closeness([place(0.6)], tiles(0.6))


def test_what_is_advised_by_area_is_silent() -> None:
    with pytest.warns(UserWarning, match=r"enlarged 6\.4 times, .* `mpp=0\.64` or more"):
        check_closeness([place(3.2)], area(0.5, 112))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_closeness([place(3.2)], area(0.64, 112))
    with pytest.raises(ValueError, match=r"Boxes of 2 um are narrower than a pixel"):
        check_closeness([place(3.2)], area(0.64, 112, 2))


@pytest.mark.parametrize(("folder", "coarse"), [("", False), ("coarse", True)])
def test_real_sections_at_two_resolutions(data_dir, monkeypatch, folder, coarse) -> None:
    if not (data_dir / folder / "her2st").is_dir():
        pytest.skip("no coarse sections")
    monkeypatch.setenv("STFLOW_DATA_DIR", str(data_dir / folder))
    sdata = stf.datasets.her2st("C2")
    placed = spots_on_image(sdata, sdata["table"], get_regions(sdata["table"])[0])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        check_closeness([placed], tiles(*DEFAULT_WIDTHS_UM))
        check_closeness([placed], tiles(*DEFAULT_WIDTHS_UM, tile_px=64))
    assert [str(each.message)[:29] for each in told] == ["Image 'he' has 3.19 um per pi"] * coarse
