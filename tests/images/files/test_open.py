"""The name of a file says how it is opened; what cannot be opened is named."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from stflow.images.files._file import mean_scale
from stflow.images.files._open import SUFFIXES, open_by_content, open_image
from stflow.images.files._openslide import read_openslide

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


def by_aperio(path: Path, **kwargs) -> None:
    told = "Aperio Image Library v11\n80x64 |AppMag = 40|MPP = 0.2520"
    tifffile.imwrite(path, PIXELS, photometric="rgb", description=told, metadata=None, **kwargs)


@pytest.mark.parametrize("name", ["a.svs", "a.tif"])
def test_what_openslide_refuses_is_read_by_tifffile(tmp_path: Path, name: str) -> None:
    by_aperio(tmp_path / name, rowsperstrip=8)
    if find_spec("openslide"):
        with pytest.raises(ValueError, match="cannot be read"):
            read_openslide(tmp_path / name)
    file = open_image(tmp_path / name)
    assert (file.scale_um, file.scale_source) == ((0.252, 0.252), "scanner")
    assert (file.format, file.magnification) == ("tiff", 40.0)
    np.testing.assert_array_equal(np.moveaxis(file.levels[0].compute(), 0, -1), PIXELS)


def test_a_scanners_tiff_without_openslide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    by_aperio(tmp_path / "a.svs", tile=(32, 32))
    file = open_image(tmp_path / "a.svs")
    assert (file.format, file.scale_um) == ("tiff", (0.252, 0.252))
    np.testing.assert_array_equal(np.moveaxis(file.levels[0].compute(), 0, -1), PIXELS)
    for name in ("a.svs", "a.mrxs"):
        (tmp_path / name).write_bytes(b"II*\0 no slide" if name == "a.svs" else b"no TIFF")
        with pytest.raises(ImportError, match=r'pip install "stflow-spatial\[wsi\]"'):
            open_image(tmp_path / name)


def test_both_refusals_are_told(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    by_aperio(tmp_path / "a.svs", rowsperstrip=8)
    content = (tmp_path / "a.svs").read_bytes()
    (tmp_path / "a.svs").write_bytes(content[: len(content) // 2])
    message = r"Slide .*a\.svs cannot be read: .* tifffile .* either: Image .*a\.svs is cut short"
    with pytest.raises(ValueError, match=message):
        open_image(tmp_path / "a.svs")


def test_a_bif_is_read_by_openslide_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    xmp = b"<EncodeInfo><iScan/></EncodeInfo>"
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS,
        photometric="rgb",
        software="ScanOutputManager 1.1",
        extratags=[(700, "B", len(xmp), xmp, True)],
        metadata=None,
    )
    with pytest.raises(ImportError, match=r"needs OpenSlide.* is a BIF, whose tiles overlap"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["._a.tif", "._a.svs", "._a.jpg", "._a.txt"])
def test_companions_of_macos_are_told_from_images(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(99))
    message = rf"hidden companion of '{name[2:]}' that macOS wrote .*Name the image itself"
    for read in (open_image, open_by_content):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / name)


def test_an_image_whose_name_starts_like_a_companion(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "._a.png")
    assert open_image(tmp_path / "._a.png").format == "png"


def test_a_folder_of_dicom_says_to_name_a_file(tmp_path: Path) -> None:
    for name in ("2.dcm", "1.DCM", "._1.DCM", "DICOMDIR"):
        (tmp_path / name).touch()
    message = r"is a folder\. Name one of the DICOM files in it \('1\.DCM', '2\.dcm'\)"
    with pytest.raises(IsADirectoryError, match=message):
        open_image(tmp_path)


def test_dicom_that_bears_no_suffix(tmp_path: Path) -> None:
    (tmp_path / "1.2.840.10008").write_bytes(bytes(128) + b"DICM" + bytes(64))
    with pytest.raises(ValueError, match=r"ends in '\.10008'.*This is DICOM: call it '\.dcm'"):
        open_image(tmp_path / "1.2.840.10008")
    (tmp_path / "1.2").write_bytes(bytes(200))
    with pytest.raises(ValueError, match=r"ends in '\.2'; supported.*'\.png'\.$"):
        open_image(tmp_path / "1.2")


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
