"""Pictures that lie turned or mirrored in their files are upright, whatever the format."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from stflow.images.files._open import open_image
from stflow.images.files._orientation import known_orientation, set_upright

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
TAG = 274
ALL = range(1, 9)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What Pillow makes of it."""
    image = Image.fromarray(pixels)
    image.getexif()[TAG] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def read(path: Path) -> np.ndarray:
    return np.moveaxis(open_image(path).levels[0].compute(), 0, -1)


def save_tiff(path: Path, orientation: object, **kwargs) -> None:
    tag = (TAG, "H", 1, orientation, True)
    tifffile.imwrite(path, PIXELS, photometric="rgb", extratags=[tag], metadata=None, **kwargs)


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_tiff(tmp_path: Path, orientation: int, tile: tuple[int, int] | None) -> None:
    save_tiff(tmp_path / "a.tif", orientation, tile=tile)
    expected = upright(PIXELS, orientation)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), expected)
    window = open_image(tmp_path / "a.tif").levels[0][:, 7:31, 11:40].compute()
    np.testing.assert_array_equal(np.moveaxis(window, 0, -1), expected[7:31, 11:40])
    assert (orientation == 1) == np.array_equal(expected, PIXELS)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_a_tag_that_makes_no_sense_turns_nothing(tmp_path: Path, orientation: int) -> None:
    save_tiff(tmp_path / "a.tif", orientation)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), PIXELS)
    assert known_orientation(None) == known_orientation("6") == 1


@pytest.mark.parametrize("orientation", ALL)
def test_levels_and_scale_turn_along(tmp_path: Path, orientation: int) -> None:
    tag = {"extratags": [(TAG, "H", 1, orientation, True)], "photometric": "rgb", "metadata": None}
    finest = {**tag, "resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PIXELS, subifds=1, **finest)
        file.write(PIXELS[::2, ::2].copy(), subfiletype=1, photometric="rgb", metadata=None)
    opened = open_image(tmp_path / "a.tif")
    half = np.moveaxis(opened.levels[1].compute(), 0, -1)
    np.testing.assert_array_equal(half, upright(PIXELS[::2, ::2].copy(), orientation))
    assert opened.scale_um == ((0.5, 1.0) if orientation < 5 else (1.0, 0.5))


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_exif(tmp_path: Path, name: str, orientation: int) -> None:
    image = Image.fromarray(PIXELS)
    image.getexif()[TAG] = orientation
    image.save(tmp_path / name, exif=image.getexif())
    with Image.open(tmp_path / name) as saved:
        expected = np.asarray(ImageOps.exif_transpose(saved))
    opened = open_image(tmp_path / name)
    assert [level.shape[1:] for level in opened.levels[:2]] == [
        expected.shape[:2],
        (expected.shape[0] // 2, expected.shape[1] // 2),
    ]
    np.testing.assert_array_equal(read(tmp_path / name), expected)
    half = np.moveaxis(opened.levels[1].compute(), 0, -1)
    np.testing.assert_array_equal(half, np.asarray(Image.fromarray(expected).reduce(2)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0nonsense")
    with Image.open(tmp_path / "a.jpg") as saved:
        np.testing.assert_array_equal(read(tmp_path / "a.jpg"), np.asarray(saved))


def test_nothing_is_read_to_turn_it() -> None:
    def refuse(block: np.ndarray) -> np.ndarray:
        raise AssertionError("read")

    unread = dask.array.zeros((3, 5, 7), dtype=np.uint8).map_blocks(refuse, dtype=np.uint8)
    assert [level.shape for level in set_upright([unread], 6)] == [(3, 7, 5)]


def test_the_same_picture_with_every_tag(data_dir: Path, tmp_path: Path) -> None:
    """Real grey pyramids, which are refused as they are, laid in colours with their own tags."""
    folder = data_dir / "real" / "tiff"
    if not folder.is_dir():
        pytest.skip("the data folder holds no real/tiff")
    for orientation in range(9):
        source = folder / f"test_orient{orientation}.tif"
        with pytest.raises(ValueError, match=rf"orient{orientation}\.tif is greyscale"):
            open_image(source)
        with tifffile.TiffFile(source) as file:
            grey = file.series[0].levels[0].asarray()
            tag = int(file.pages.first.tags.valueof(TAG))
        assert tag == orientation
        pixels = np.dstack([grey, grey // 2, 255 - grey])
        extra = [(TAG, "H", 1, tag, True)]
        path = tmp_path / f"{orientation}.tif"
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=extra, metadata=None)
        np.testing.assert_array_equal(read(path), upright(pixels, orientation or 1))
