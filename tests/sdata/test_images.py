"""Which image, and its pyramid."""

from __future__ import annotations

import numpy as np
import pytest
from slides import make, picture
from spatialdata import read_zarr
from spatialdata.models import Image2DModel

from stflow._sdata._images import colour_channels, get_pyramid, resolve_image

# which image


def test_the_only_image_or_the_named_one():
    sdata = make([[1, 1]], images={"a": picture(), "b": picture()})
    assert resolve_image(sdata, "b") == "b"
    assert resolve_image(sdata, {"x": "a", "y": "b"}, region="y") == "b"
    assert resolve_image(make([[1, 1]]), None) == "he"


def test_an_image_to_choose_or_that_is_not_there():
    sdata = make([[1, 1]], images={"a": picture(), "b": picture()})
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: 'a', 'b'"):
        resolve_image(sdata, None)
    with pytest.raises(KeyError, match="No image 'c'; available: 'a', 'b'"):
        resolve_image(sdata, "c")
    with pytest.raises(KeyError, match="No `image_key` for region 'z'; available: 'x'"):
        resolve_image(sdata, {"x": "a"}, region="z")
    with pytest.raises(KeyError, match="one of the images: none"):
        resolve_image(make([[1, 1]], images={}), None)


# its pyramid


def test_single_scale_and_multiscale_before_and_after_writing(tmp_path):
    images = {"flat": picture(), "tall": picture(scale_factors=[2, 2])}
    sdata = make([[1, 1]], images=images)
    sdata.write(tmp_path / "x.zarr")
    for data in (sdata, read_zarr(tmp_path / "x.zarr")):
        flat, tall = get_pyramid(data, "flat"), get_pyramid(data, "tall")
        assert [level.scale for level in flat] == [(1, 1)]
        assert [level.scale for level in tall] == [(1, 1), (2, 2), (4, 4)]
        assert [level.size for level in tall] == [(60, 40), (30, 20), (15, 10)]
        np.testing.assert_array_equal(flat[0].data, np.asarray(images["flat"].data))


def test_a_level_may_be_smaller_by_any_factor_along_each_axis():
    sdata = make([[1, 1]], images={"he": picture((3, 41, 60), scale_factors=[2])})
    assert get_pyramid(sdata, "he")[1].scale == (2.0, 41 / 20)


@pytest.mark.parametrize("names", [["r", "g", "b", "a"], ["Red", "Green", "Blue", "Alpha"], None])
def test_a_transparent_colour_is_glass(names):
    rgba = np.full((4, 6, 8), 40, np.uint8)
    rgba[3] = np.where(np.arange(8) < 3, 255, 0)
    seen = np.where(np.arange(8) < 3, 40, 255)
    he = Image2DModel.parse(rgba, dims="cyx", c_coords=names, scale_factors=[2])
    levels = get_pyramid(make([[1, 1]], images={"he": he}), "he")
    assert [level.data.shape for level in levels] == [(3, 6, 8), (3, 3, 4)]
    np.testing.assert_array_equal(levels[0].data, np.broadcast_to(seen, (3, 6, 8)))
    drawn = colour_channels(he["scale0"]["image"])
    np.testing.assert_array_equal(drawn, np.broadcast_to(seen, (3, 6, 8)))
    assert drawn.sizes["c"] == 3


def test_channels_are_found_by_name():
    bgr = picture((3, 6, 6), c_coords=["b", "g", "r"])
    marked = picture((4, 6, 6), c_coords=["mask", "r", "g", "b"])
    sdata = make([[1, 1]], images={"bgr": bgr, "marked": marked})
    np.testing.assert_array_equal(get_pyramid(sdata, "bgr")[0].data, bgr.to_numpy()[::-1])
    np.testing.assert_array_equal(get_pyramid(sdata, "marked")[0].data, marked.to_numpy()[1:])
    assert colour_channels(bgr).coords["c"].to_numpy().tolist() == ["r", "g", "b"]


@pytest.mark.parametrize("names", [["DAPI", "FITC", "TRITC"], ["DAPI", "CD3", "CD8", "CD20"]])
def test_fluorescence_is_refused_until_it_is_called_colours(names):
    he = picture((len(names), 6, 6), c_coords=names)
    sdata = make([[1, 1]], images={"he": he})
    with pytest.raises(ValueError, match=r"Image 'he' .*'DAPI', .*`sdata\.set_channel_names`"):
        get_pyramid(sdata, "he")
    assert colour_channels(he) is he
    sdata.set_channel_names("he", ["r", "g", "b", "a"][: len(names)])
    assert get_pyramid(sdata, "he")[0].data.shape == (3, 6, 6)


def test_an_image_that_is_not_rgb():
    wide = Image2DModel.parse(np.zeros((3, 9, 9), np.uint16), dims="cyx")
    sdata = make([[1, 1]], images={"two": picture((2, 9, 9)), "wide": wide})
    with pytest.raises(ValueError, match=r"Image 'two' has shape \(2, 9, 9\)"):
        get_pyramid(sdata, "two")
    with pytest.raises(ValueError, match="Image 'wide' holds uint16"):
        get_pyramid(sdata, "wide")
