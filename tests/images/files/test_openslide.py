"""Scanner files through OpenSlide: the same pixels as tifffile's, whatever the window."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stflow.images.files._openslide import read_openslide

pytest.importorskip("openslide")
SIZES = [(1000, 700), (333, 233)]


def write_pyramid(path: Path, *, held: set[int] | None = None) -> list[np.ndarray]:
    """Tiled TIFF of two levels, 3.003 times apart: OpenSlide's generic format."""
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    kwargs = {"tile": (256, 256), "photometric": "rgb", "compression": "lzw", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            file.write(level, subfiletype=int(number > 0), **kwargs)
    return levels


@pytest.fixture
def real(data_dir: Path) -> Path:
    path = data_dir / "wsi" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip("the data folder holds no wsi/CMU-1-Small-Region.svs")
    return path


def test_levels_and_pixels(tmp_path: Path) -> None:
    expected = write_pyramid(tmp_path / "a.svs")
    file = read_openslide(tmp_path / "a.svs")
    assert [level.shape for level in file.levels] == [(3, *size) for size in SIZES]
    np.testing.assert_array_equal(np.moveaxis(file.levels[0].compute(), 0, -1), expected[0])
    corner = np.moveaxis(file.levels[1][:, :256, :200].compute(), 0, -1)
    np.testing.assert_array_equal(corner, expected[1][:256, :200])
    assert (file.format, file.scale_um, file.magnification) == ("generic-tiff", None, None)


@pytest.mark.parametrize("level", [0, 1])
def test_a_pixel_does_not_depend_on_the_window(tmp_path: Path, level: int) -> None:
    write_pyramid(tmp_path / "a.svs")
    lazy = read_openslide(tmp_path / "a.svs").levels[level]
    whole = lazy.compute()
    height, width = SIZES[level]
    corners = np.random.default_rng(1).uniform(0, 1, (40, 2)) * (height - 60, width - 60)

    def same(corner: np.ndarray) -> bool:
        y, x = corner.astype(int)
        window = lazy[:, y : y + 60, x : x + 60].compute(scheduler="sync")
        return bool((window == whole[:, y : y + 60, x : x + 60]).all())

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(same, corners))


def test_openslide_alone_would_let_a_pixel_depend_on_the_window(tmp_path: Path) -> None:
    from openslide import OpenSlide

    write_pyramid(tmp_path / "a.svs")
    with OpenSlide(tmp_path / "a.svs") as slide:
        factor = slide.level_downsamples[1]
        whole = np.asarray(slide.read_region((0, 0), 1, (233, 256)))
        part = np.asarray(slide.read_region((0, round(100 * factor)), 1, (233, 60)))
    assert (whole[100:160] != part).any()


def test_missing_tiles_are_white(tmp_path: Path) -> None:
    tile = np.full((256, 256, 3), 9, dtype=np.uint8)
    tiles = (tile if number < 2 else None for number in range(4))
    tifffile.imwrite(
        tmp_path / "a.svs",
        tiles,
        shape=(512, 512, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric="rgb",
        compression="lzw",
        metadata=None,
    )
    pixels = read_openslide(tmp_path / "a.svs").levels[0].compute()
    assert (pixels[:, :256] == 9).all()
    assert (pixels[:, 256:] == 255).all()


def test_a_real_slide(real: Path) -> None:
    file = read_openslide(real)
    assert file.scale_um == (0.499, 0.499)
    assert (file.format, file.scale_source, file.magnification) == ("aperio", "scanner", 20.0)
    [level] = file.levels
    assert level.shape == (3, 2967, 2220)
    assert level.chunksize == (3, 1920, 1920)
    with tifffile.TiffFile(real) as tiff:
        expected = tiff.series[0].asarray()
    window = level[:, 1000:1700, 900:2220].compute()
    np.testing.assert_array_equal(np.moveaxis(window, 0, -1), expected[1000:1700, 900:])


def by_aperio(path: Path, mpp: float, **more) -> None:
    """A slide of one level whose description says so many micrometres a pixel."""
    pixels = np.full((64, 80, 3), 200, dtype=np.uint8)
    told = f"Aperio Image Library v11\n80x64 |AppMag = 40|MPP = {mpp}"
    kwargs = {"tile": (32, 32), "photometric": "rgb", "description": told, "metadata": None}
    tifffile.imwrite(path, pixels, **kwargs, **more)


def test_scales_that_no_scanner_has_let_the_tags_speak(tmp_path: Path) -> None:
    tags = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
    by_aperio(tmp_path / "a.svs", 0.0274, **tags)
    assert read_openslide(tmp_path / "a.svs").scale_um == (0.25, 0.5)
    by_aperio(tmp_path / "b.svs", 0.252, **tags)  # negative control
    file = read_openslide(tmp_path / "b.svs")
    assert (file.scale_um, file.scale_source) == ((0.252, 0.252), "scanner")
    by_aperio(tmp_path / "c.svs", 0.0274, resolution=(72, 72), resolutionunit="INCH")
    file = read_openslide(tmp_path / "c.svs")
    assert file.scale_um is None
    assert file.doubtful_scale == "scanner says 0.0274 um, resolution tags says 352.8 um"


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_text("no slide")
    with pytest.raises(ValueError, match=r"a\.svs cannot be read: .*[Uu]nsupported"):
        read_openslide(tmp_path / "a.svs")


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_slide_cut_short(real: Path, tmp_path: Path, share: float) -> None:
    content = real.read_bytes()
    (tmp_path / "a.svs").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"a\.svs cannot be read: "):
        read_openslide(tmp_path / "a.svs")


def test_damage_inside_is_found_when_it_is_read(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.svs")
    with tifffile.TiffFile(tmp_path / "a.svs") as tiff:
        start = tiff.pages.first.dataoffsets[5]
    content = bytearray((tmp_path / "a.svs").read_bytes())
    content[start : start + 4000] = bytes(4000)
    (tmp_path / "a.svs").write_bytes(content)
    [level, _] = read_openslide(tmp_path / "a.svs").levels
    with pytest.raises(OSError, match=r"Image .*a\.svs cannot be read: "):
        level.compute()


def test_without_openslide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pyramid(tmp_path / "a.svs")
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(ImportError, match=r'pip install "stflow-spatial\[wsi\]"'):
        read_openslide(tmp_path / "a.svs")
