"""A slide image alone: lazy, with its scale and where it came from, or refused with the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import spatialdata
import tifffile
from PIL import Image
from spatialdata import SpatialData
from spatialdata.transformations import Identity, get_transformation

import stflow as stf
from stflow._sdata._images import get_pyramid

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
SCALED = {"photometric": "rgb", "resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    """A plain TIFF with half a micrometre a pixel."""
    tifffile.imwrite(tmp_path / "he.tif", PIXELS, **SCALED)
    return tmp_path / "he.tif"


def properties(sdata: SpatialData) -> dict:
    return sdata.attrs["slide_properties"]


def test_image_and_its_scale(tiff: Path) -> None:
    sdata = stf.io.read_wsi(tiff)
    assert [*sdata.images, *sdata.shapes, *sdata.tables] == ["he"]
    levels = get_pyramid(sdata, "he")
    assert [level.size for level in levels] == [(130, 90), (65, 45), (32, 22), (16, 11)]
    np.testing.assert_array_equal(levels[0].data, np.moveaxis(PIXELS, -1, 0))
    assert isinstance(get_transformation(sdata["he"], "global"), Identity)
    assert sdata["he"]["scale0"].coords["c"].to_numpy().tolist() == ["r", "g", "b"]
    assert properties(sdata) == {
        "mpp": 0.5,
        "mpp_source": "resolution tags",
        "source": "he.tif",
        "format": "tiff",
        "shape": [90, 130],
    }


def test_the_argument_goes_before_the_file(tiff: Path) -> None:
    found = properties(stf.io.read_wsi(str(tiff), image_mpp=0.3))
    assert (found["mpp"], found["mpp_source"]) == (0.3, "argument")


def test_a_file_without_a_scale_is_refused_with_the_way_out(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.tif"):
        Image.fromarray(PIXELS).save(tmp_path / name, dpi=(72, 72))
        with pytest.raises(ValueError, match=rf"{name} does not say .*Pass `image_mpp=`"):
            stf.io.read_wsi(tmp_path / name)
        assert properties(stf.io.read_wsi(tmp_path / name, image_mpp=0.69))["mpp"] == 0.69


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf])
def test_a_scale_that_makes_no_sense(tiff: Path, wrong: float) -> None:
    with pytest.raises(ValueError, match="`image_mpp` must be a positive number"):
        stf.io.read_wsi(tiff, image_mpp=wrong)


@pytest.mark.parametrize("wrong", [0.0274, 352.78])
def test_a_scale_that_no_scanner_has(tiff: Path, wrong: float) -> None:
    message = rf"`image_mpp` is {wrong:.5g}; pixels of a slide measure 0\.05 to 20"
    with pytest.raises(ValueError, match=message):
        stf.io.read_wsi(tiff, image_mpp=wrong)
    for credible in (0.05, 20):
        assert properties(stf.io.read_wsi(tiff, image_mpp=credible))["mpp"] == credible


TOO_COARSE = {"axes": "YXS", "PhysicalSizeX": 352.78, "PhysicalSizeY": 352.78}
ODD_CLAIMS = {
    "72 dots per inch": (
        {"photometric": "rgb", "ome": True, "metadata": TOO_COARSE},
        "OME-XML says 352.8 um",
    ),
    "a tenth of the truth": (
        {**SCALED, "resolution": (365_000, 365_000)},
        "resolution tags says 0.0274 um",
    ),
}


@pytest.mark.parametrize("case", ODD_CLAIMS)
def test_what_no_scanner_has_is_not_believed_and_told(tmp_path: Path, case: str) -> None:
    kwargs, said = ODD_CLAIMS[case]
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **kwargs)
    message = rf"a\.tif does not say .* \({said}; 0\.05 to 20 is believed\)\. Pass `image_mpp=`"
    with pytest.raises(ValueError, match=message):
        stf.io.read_wsi(tmp_path / "a.tif")
    assert properties(stf.io.read_wsi(tmp_path / "a.tif", image_mpp=0.274))["mpp"] == 0.274


def test_another_source_speaks_where_one_is_not_believed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, ome=True, metadata=TOO_COARSE, **SCALED)
    found = properties(stf.io.read_wsi(tmp_path / "a.tif"))
    assert (found["mpp"], found["mpp_source"]) == (0.5, "resolution tags")


def test_a_sample_that_is_left_out_is_told_at_the_users_line(tmp_path: Path) -> None:
    rgbx = np.dstack([PIXELS, np.zeros_like(PIXELS[..., 0])])
    tifffile.imwrite(tmp_path / "a.tif", rgbx, extrasamples=["unspecified"], **SCALED)
    with pytest.warns(UserWarning, match="fourth sample") as told:
        sdata = stf.io.read_wsi(tmp_path / "a.tif")
    assert [warning.filename for warning in told] == [__file__]
    np.testing.assert_array_equal(get_pyramid(sdata, "he")[0].data, np.moveaxis(PIXELS, -1, 0))


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **{**SCALED, "resolution": (20_000, 19_000)})
    with pytest.raises(ValueError, match=r"a\.tif says .* 0\.5 um along x and 0\.5263 um along y"):
        stf.io.read_wsi(tmp_path / "a.tif")
    assert properties(stf.io.read_wsi(tmp_path / "a.tif", image_mpp=0.5))["mpp"] == 0.5


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        stf.io.read_wsi(tmp_path / "a.tif")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        stf.io.read_wsi(tmp_path)
    (tmp_path / "a.xyz").touch()
    with pytest.raises(ValueError, match="supported"):
        stf.io.read_wsi(tmp_path / "a.xyz")


def test_nothing_is_decoded_before_it_is_used(tiff: Path) -> None:
    image = get_pyramid(stf.io.read_wsi(tiff), "he")[0].data
    before = np.asarray(image)
    tifffile.imwrite(tiff, 255 - PIXELS, **SCALED)
    np.testing.assert_array_equal(image, np.moveaxis(255 - PIXELS, -1, 0))
    np.testing.assert_array_equal(before, np.moveaxis(PIXELS, -1, 0))


def test_round_trip(tiff: Path, tmp_path: Path) -> None:
    sdata = stf.io.read_wsi(tiff)
    sdata.write(tmp_path / "slide.zarr")
    back = spatialdata.read_zarr(tmp_path / "slide.zarr")
    assert properties(back) == properties(sdata)
    for one, other in zip(get_pyramid(back, "he"), get_pyramid(sdata, "he"), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_a_real_slide(data_dir: Path) -> None:
    pytest.importorskip("openslide")
    path = data_dir / "wsi" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip("the data folder holds no wsi/CMU-1-Small-Region.svs")
    sdata = stf.io.read_wsi(path)
    assert properties(sdata) == {
        "mpp": 0.499,
        "mpp_source": "scanner",
        "source": "CMU-1-Small-Region.svs",
        "format": "aperio",
        "shape": [2967, 2220],
        "magnification": 20.0,
    }
    levels = get_pyramid(sdata, "he")
    assert [level.size for level in levels] == [(2220, 2967), (1110, 1483), (555, 741), (277, 370)]
    coarse = np.asarray(levels[3].data).mean(axis=(1, 2))
    fine = np.asarray(levels[0].data).mean(axis=(1, 2))
    np.testing.assert_allclose(coarse, fine, atol=0.5)
    red, green, blue = coarse
    assert green < blue < red  # haematoxylin and eosin


def test_a_real_section_as_a_slide_without_a_table(data_dir: Path) -> None:
    measured = stf.datasets.her2st("C5")
    [path] = (data_dir / "her2st" / "ST-imgs" / "C" / "C5").glob("*.jpg")
    sdata = stf.io.read_wsi(path, image_mpp=0.69)
    assert not sdata.tables
    pairs = zip(get_pyramid(sdata, "he"), get_pyramid(measured, "he"), strict=True)
    for level, other in pairs:
        assert level.scale == other.scale
        window = slice(0, 3), slice(300, 310), slice(400, 420)
        np.testing.assert_array_equal(level.data[window], other.data[window])
