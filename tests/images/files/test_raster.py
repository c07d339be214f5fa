"""A JPEG or PNG is decoded when it is read, once for all blocks and levels, and exactly."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import dask
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from stflow.images.files import _lazy, _raster
from stflow.images.files._raster import read_raster


def save(path: Path, *, seed: int = 0, size: tuple[int, int] = (213, 311)) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "JPEG")
    with Image.open(path) as image:
        return np.moveaxis(np.asarray(image), -1, 0)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each image that was decoded."""
    heights: list[int] = []
    to_array = _raster._to_array

    def count(image: Image.Image) -> np.ndarray:
        heights.append(image.height)
        return to_array(image)

    monkeypatch.setattr(_raster, "_to_array", count)
    _raster._decode.cache_clear()
    return heights


def test_lazy_and_decoded_once(tmp_path: Path, decoded: list[int], monkeypatch) -> None:
    monkeypatch.setattr(_lazy, "CHUNK", 64)
    expected = save(tmp_path / "a.jpg")
    levels = read_raster(tmp_path / "a.jpg")
    assert levels[0].numblocks == (1, 4, 5)
    assert {(level.ndim, level.dtype) for level in levels} == {(3, np.dtype("uint8"))}
    assert not decoded
    with dask.config.set(scheduler="threads", num_workers=8):
        np.testing.assert_array_equal(levels[0].compute(), expected)
        dask.compute(*levels)
    assert decoded == [213]


def test_another_image_takes_its_place(tmp_path: Path, decoded: list[int]) -> None:
    first, second = (
        save(tmp_path / name, seed=seed, size=(50 + seed, 60))
        for seed, name in enumerate(("a.jpg", "b.jpg"))
    )
    a, b = (read_raster(tmp_path / name)[0] for name in ("a.jpg", "b.jpg"))
    for _ in range(2):
        np.testing.assert_array_equal(a.compute(), first)
        np.testing.assert_array_equal(b.compute(), second)
    assert decoded == [50, 51, 50, 51]
    assert _raster._decode.cache_info().currsize == 1


def test_file_replaced(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    read_raster(tmp_path / "a.jpg")[0].compute()
    (tmp_path / "a.jpg").unlink()
    expected = save(tmp_path / "a.jpg", seed=1)
    np.testing.assert_array_equal(read_raster(tmp_path / "a.jpg")[0].compute(), expected)


def test_halvings_are_means_of_four(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    read = read_raster(tmp_path / "a.jpg")
    assert [level.shape for level in read] == [
        (3, 213, 311),
        (3, 106, 155),
        (3, 53, 77),
        (3, 26, 38),
    ]
    for finer, coarser in itertools.pairwise(read):
        fine = finer.compute().astype(float)
        even = fine[:, : fine.shape[1] // 2 * 2, : fine.shape[2] // 2 * 2]
        blocks = even.reshape(3, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
        assert np.abs(blocks.mean(axis=(2, 4)) - coarser.compute()).max() <= 0.5


def test_window(tmp_path: Path) -> None:
    expected = save(tmp_path / "a.jpg")
    window = read_raster(tmp_path / "a.jpg")[0][1:, 100:140, 7:9].compute()
    np.testing.assert_array_equal(window, expected[1:, 100:140, 7:9])


def test_survives_pickling(tmp_path: Path) -> None:
    expected = save(tmp_path / "a.jpg")
    array = pickle.loads(pickle.dumps(read_raster(tmp_path / "a.jpg")[0]))  # noqa: S301
    np.testing.assert_array_equal(array.compute(), expected)


def test_large_images_need_no_global_limit(tmp_path: Path, monkeypatch) -> None:
    expected = save(tmp_path / "a.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", expected.shape[2] * 213 // 3)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.jpg")
    monkeypatch.setattr(_raster, "_STRIP", 32)
    _raster._decode.cache_clear()
    np.testing.assert_array_equal(read_raster(tmp_path / "a.jpg")[0].compute(), expected)


def test_damage_after_opening(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg")
    array = read_raster(tmp_path / "a.jpg")[0]
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"a\.jpg cannot be read: .*truncated"):
        array.compute()


@pytest.mark.parametrize("extra", [b"\0" * 9000, b"signed by someone " * 999])
def test_bytes_after_the_end_change_nothing(tmp_path: Path, extra: bytes) -> None:
    expected = save(tmp_path / "a.jpg")
    Image.fromarray(PNG).convert("RGB").save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        with (tmp_path / name).open("ab") as file:
            file.write(extra)
    np.testing.assert_array_equal(read_raster(tmp_path / "a.jpg")[0].compute(), expected)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), PNG[..., :3])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("padding", [0, 9000])
def test_a_jpeg_cut_short_is_refused_whatever_ends_its_thumbnail(
    tmp_path: Path, share: float, padding: int
) -> None:
    """A thumbnail in the header has an end of its own; a broken download is filled with zeros."""
    thumbnail = b"Exif\0\0" + b"\xff\xd8 a small picture \xff\xd9"
    pixels = np.random.default_rng(0).integers(0, 256, (213, 311, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=thumbnail)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: int(share * len(content))] + bytes(padding))
    with pytest.raises(ValueError, match=r"a\.jpg is cut short: it has no end-of-image mark"):
        read_raster(tmp_path / "a.jpg")


PNG = np.random.default_rng(3).integers(0, 256, (40, 61, 4), dtype=np.uint8)


def read_png(path: Path) -> np.ndarray:
    return np.moveaxis(read_raster(path)[0].compute(), 0, -1)


def test_png(tmp_path: Path, decoded: list[int]) -> None:
    Image.fromarray(PNG[..., :3]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), PNG[..., :3])
    dask.compute(*read_raster(tmp_path / "a.png"))
    assert decoded == [40]


def test_png_transparency_lies_on_white(tmp_path: Path) -> None:
    Image.fromarray(PNG).save(tmp_path / "a.png")
    alpha = PNG[..., 3:] / 255
    expected = PNG[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(read_png(tmp_path / "a.png") - expected).max() <= 1


def test_png_palette_is_looked_up(tmp_path: Path) -> None:
    palette = Image.fromarray(PNG[..., :3]).quantize(16)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), np.asarray(palette.convert("RGB")))


def grey(path: Path) -> None:
    Image.new("L", (99, 99)).save(path)


def grey_with_alpha(path: Path) -> None:
    Image.new("LA", (99, 99)).save(path)


def sixteen_bits_grey(path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(path)


def sixteen_bits_rgb(path: Path) -> None:
    path.write_bytes(imagecodecs.png_encode(np.zeros((9, 9, 3), np.uint16)))


def cut(path: Path) -> None:
    Image.fromarray(PNG).save(path)
    path.write_bytes(path.read_bytes()[:-20])


def cut_early(path: Path) -> None:
    Image.fromarray(PNG).save(path)
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (grey, "has the colour mode 'L', not 'RGB'. Save it as 8-bit RGB"),
        (grey_with_alpha, "has the colour mode 'LA'"),
        (sixteen_bits_grey, "has 16 bits a channel. Save it as 8-bit RGB, so that"),
        (sixteen_bits_rgb, "has 16 bits a channel"),
        (cut, "is cut short: it has no end-of-image mark"),
        (cut_early, "cannot be read"),
        (lambda path: path.write_text("no image at all, but long enough"), "cannot be read"),
    ],
)
def test_png_that_is_refused(tmp_path: Path, write, message: str) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(ValueError, match=rf"a\.png {message}"):
        read_raster(tmp_path / "a.png")


def test_jpeg_in_other_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (99, 99)).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg has the colour mode 'CMYK'"):
        read_raster(tmp_path / "a.jpg")
