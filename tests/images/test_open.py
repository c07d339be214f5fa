"""The name of a file says how it is opened; what cannot be opened is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from stflow.images._file import mean_scale
from stflow.images._open import SUFFIXES, open_by_content, open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "png"),
        ("a.JPG", "jpeg"),
        ("a.jpeg", "jpeg"),
        ("a.tif", "tiff"),
        ("a.TIFF", "tiff"),
    ],
)
def test_by_extension(tmp_path: Path, name: str, kind: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name)
    file = open_image(tmp_path / name)
    assert file.format == kind
    assert file.levels[0].shape == (3, 64, 80)
    assert file.scale_um is None


def test_ome_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="rgb")
    assert open_image(tmp_path / "a.ome.tif").format == "ome-tiff"


def test_a_tiff_by_a_scanner_goes_through_openslide(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS,
        photometric="rgb",
        tile=(32, 32),
        description="Aperio Image Library v11\n80x64 |AppMag = 40|MPP = 0.2520",
        metadata=None,
    )
    file = open_image(tmp_path / "a.tif")
    assert (file.format, file.scale_um, file.magnification) == ("aperio", (0.252, 0.252), 40.0)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere\.svs"):
        open_image(tmp_path / "nowhere.svs")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"is a folder.*stf\.io\.read_visium"):
        open_image(tmp_path)


def test_unsupported_extension(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"?")
    with pytest.raises(
        ValueError, match=r"ends in '\.docx'; supported: '\.svs', .*'\.png'"
    ) as caught:
        open_image(tmp_path / "a.docx")
    assert all(suffix in str(caught.value) for suffix in SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(ValueError, match=rf"a\{suffix} is empty"):
        open_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_called_an_image(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("openslide")
    (tmp_path / f"a{suffix}").write_text("this is no image, whatever its name says")
    with pytest.raises(ValueError, match=rf"a\{suffix} cannot be read"):
        open_image(tmp_path / f"a{suffix}")


def test_square_pixels_have_one_scale() -> None:
    assert mean_scale((0.5, 0.504), name="x") == pytest.approx(0.502)
    with pytest.raises(
        ValueError, match=r"A pixel of it.* 0\.5 um along x and 0\.51 um along y.*`image_mpp=`"
    ):
        mean_scale((0.5, 0.51), name="A pixel of it")


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_by_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.scan"
    Image.fromarray(PIXELS).save(path, format=kind)
    file = open_by_content(path)
    assert file.format == kind
    read = np.moveaxis(np.asarray(file.levels[0]), 0, -1)
    np.testing.assert_array_equal(read, np.asarray(Image.open(path)))
    with pytest.raises(ValueError, match=r"a\.scan ends in '\.scan'"):
        open_image(path)


def test_content_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*a\.png"):
        open_by_content(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"a\.png is no PNG, JPEG or TIFF"):
        open_by_content(tmp_path / "a.png")
