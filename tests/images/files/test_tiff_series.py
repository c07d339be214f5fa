"""Of several images in a TIFF the largest is the slide, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from stflow.images.files._tiff import read_tiff

RNG = np.random.default_rng(0)
SLIDE = RNG.integers(0, 256, (256, 384, 3), dtype=np.uint8)
LABEL = RNG.integers(0, 256, (90, 90, 3), dtype=np.uint8)
OVERVIEW = RNG.integers(0, 256, (64, 200, 3), dtype=np.uint8)
PAGE = {"photometric": "rgb", "metadata": None}
TILES = {"tile": (64, 64), "compression": "zlib", **PAGE}


def read(path: Path, level: int = 0) -> np.ndarray:
    return np.moveaxis(read_tiff(path).levels[level].compute(), 0, -1)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("kwargs", [PAGE, TILES], ids=["plain", "tiles"])
def test_label_and_overview_are_not_the_slide(tmp_path: Path, place: int, kwargs: dict) -> None:
    images = [LABEL, OVERVIEW]
    images.insert(place, SLIDE)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for image in images:
            file.write(image, **kwargs)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), SLIDE)
    assert len(read_tiff(tmp_path / "a.tif").levels) == 1


def test_levels_follow_the_slide(tmp_path: Path) -> None:
    levels = [np.ascontiguousarray(SLIDE[::step, ::step]) for step in (1, 2, 4)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(LABEL, **PAGE)
        file.write(levels[0], subifds=2, **TILES)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **TILES)
    assert len(read_tiff(tmp_path / "a.tif").levels) == 3
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read(tmp_path / "a.tif", number), level)


@pytest.mark.parametrize("first", [LABEL, SLIDE], ids=["label first", "slide first"])
def test_scale_and_colours_are_those_of_the_slide(tmp_path: Path, first: np.ndarray) -> None:
    images = [(LABEL, 0.9), (SLIDE, 0.25)]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for image, um in images if first is LABEL else reversed(images):
            sizes = {"PhysicalSizeX": um, "PhysicalSizeY": um}
            file.write(image, photometric="rgb", metadata={"axes": "YXS", **sizes})
    opened = read_tiff(tmp_path / "a.ome.tif")
    assert opened.scale_um == (0.25, 0.25)
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif"), SLIDE)


def test_tags_of_the_slide_not_of_the_label(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(LABEL, resolution=(5_000, 5_000), resolutionunit="CENTIMETER", **PAGE)
        file.write(SLIDE, resolution=(40_000, 40_000), resolutionunit="CENTIMETER", **PAGE)
    assert read_tiff(tmp_path / "a.tif").scale_um == (0.25, 0.25)


def test_a_mask_of_the_same_size_is_no_rival(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(SLIDE[..., 0], photometric="minisblack", metadata=None)
        file.write(SLIDE, **PAGE)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), SLIDE)


def test_two_of_the_largest_size_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for image in (SLIDE, LABEL, SLIDE[::-1]):
            file.write(image, photometric="rgb", metadata={"axes": "YXS"})
    with pytest.raises(ValueError, match=r"a\.ome\.tif holds 2 images of 384 x 256 pixels"):
        read_tiff(tmp_path / "a.ome.tif")
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for image in (SLIDE, SLIDE[::-1]):
            file.write(image, **PAGE)
    with pytest.raises(ValueError, match=r"b\.tif is a stack of several planes"):
        read_tiff(tmp_path / "b.tif")


def test_a_damaged_label_does_not_cost_the_slide(tmp_path: Path) -> None:
    """Negative control: the slide itself, cut short, is refused."""
    for name, images in {"label": (SLIDE, LABEL), "slide": (LABEL, SLIDE)}.items():
        path = tmp_path / f"{name}.tif"
        with tifffile.TiffWriter(path) as file:
            for image in images:
                file.write(image, **PAGE)
        with tifffile.TiffFile(path, mode="r+") as file:
            tag = file.pages[1].tags["StripOffsets"]
            tag.overwrite([offset + 10**7 for offset in tag.value])
    np.testing.assert_array_equal(read(tmp_path / "label.tif"), SLIDE)
    with pytest.raises(ValueError, match=r"slide\.tif is cut short"):
        read_tiff(tmp_path / "slide.tif")


def test_bytes_after_the_end_change_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", SLIDE, **TILES)
    with (tmp_path / "a.tif").open("ab") as file:
        file.write(b"signed by someone" * 999)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), SLIDE)


def test_a_real_pyramid(data_dir: Path) -> None:
    path = data_dir / "real" / "wsi" / "small_HE_levels.tiff"
    if not path.is_file():
        pytest.skip("the data folder holds no real/wsi")
    opened = read_tiff(path)
    sizes = [(250, 300), (125, 150), (62, 75), (31, 37)]
    assert [level.shape[1:] for level in opened.levels] == sizes
    assert opened.scale_um is None
    assert opened.doubtful_scale == "resolution tags says 352.9 um"
