"""What the samples of a TIFF's pixel mean: colours, alpha of either kind, or no stain at all."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from stflow.images.files._tiff import read_tiff

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
ALPHA = np.where(np.arange(80) < 30, 255, np.where(np.arange(80) < 60, 51, 0))
ALPHA = np.broadcast_to(ALPHA, (60, 80)).astype(np.uint8)
ON_WHITE = 255 - (255.0 - PIXELS) * ALPHA[..., None] / 255
MULTIPLIED = (PIXELS * (ALPHA[..., None] / 255)).round().astype(np.uint8)
LAYOUTS = [{}, {"tile": (16, 16), "compression": "zlib"}, {"planarconfig": "separate"}]


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.moveaxis(read_tiff(path).levels[0].compute(), 0, -1)


def save(path: Path, colours: np.ndarray, kind: str | None, layout: dict) -> None:
    pixels = np.dstack([colours, ALPHA])
    if layout.get("planarconfig"):
        pixels = np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=[kind], metadata=None, **layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["plain", "tiles", "planes"])
def test_alpha_of_either_kind_lies_on_white(tmp_path: Path, layout: dict) -> None:
    save(tmp_path / "a.tif", PIXELS, "unassalpha", layout)
    assert np.abs(read(tmp_path / "a.tif") - ON_WHITE).max() <= 0.5
    save(tmp_path / "b.tif", MULTIPLIED, "assocalpha", layout)
    assert np.abs(read(tmp_path / "b.tif") - ON_WHITE).max() <= 1
    save(tmp_path / "c.tif", MULTIPLIED, "unassalpha", layout)  # negative control
    assert np.abs(read(tmp_path / "c.tif") - ON_WHITE).max() > 20


@pytest.mark.parametrize("layout", LAYOUTS, ids=["plain", "tiles", "planes"])
def test_a_fourth_sample_of_no_kind_is_left_out_with_a_word(tmp_path: Path, layout: dict) -> None:
    save(tmp_path / "a.tif", PIXELS, "unspecified", layout)
    with pytest.warns(UserWarning, match=r"a\.tif has a fourth sample .*ExtraSamples 0.*left out"):
        opened = read_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.moveaxis(opened.levels[0].compute(), 0, -1), PIXELS)


def test_grey_samples_of_no_kind_are_no_colours(tmp_path: Path) -> None:
    four = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([PIXELS, ALPHA]), **four)
    with pytest.raises(ValueError, match=r"a\.tif has 4 samples a pixel and says of none"):
        read_tiff(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, **four)
    np.testing.assert_array_equal(read(tmp_path / "b.tif"), PIXELS)


def pages(path: Path, count: int, names: list[str] | None, **channel) -> None:
    planes = np.moveaxis(np.dstack([PIXELS, ALPHA]), -1, 0)[:count]
    told = {**({"Name": names} if names else {}), **channel}
    metadata = {"axes": "CYX", **({"Channel": told} if told else {})}
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)


@pytest.mark.parametrize(
    "names", [None, ["Red", "Green", "Blue"], ["r", "g", "b"], ["C1", "C2", "C3"]]
)
def test_pages_that_are_colours(tmp_path: Path, names: list[str] | None) -> None:
    pages(tmp_path / "a.ome.tif", 3, names)
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif"), PIXELS)


def test_pages_are_found_by_name(tmp_path: Path) -> None:
    pages(tmp_path / "a.ome.tif", 3, ["Blue", "Green", "Red"])
    np.testing.assert_array_equal(read(tmp_path / "a.ome.tif"), PIXELS[..., ::-1])
    pages(tmp_path / "b.ome.tif", 4, ["R", "G", "B", "alpha"])
    assert np.abs(read(tmp_path / "b.ome.tif") - ON_WHITE).max() <= 0.5


@pytest.mark.parametrize(
    ("names", "channel", "said"),
    [
        (["DAPI", "FITC", "TRITC"], {}, "'DAPI', 'FITC', 'TRITC'"),
        (["DAPI", "CD3", "CD8", "CD20"], {}, "'DAPI', 'CD3', 'CD8', 'CD20'"),
        (None, {"Fluor": ["Hoechst", "Cy3", "Cy5"]}, "'Hoechst', 'Cy3', 'Cy5'"),
        (None, {"EmissionWavelength": [461, 570, 670]}, "'461 nm', '570 nm', '670 nm'"),
    ],
)
def test_fluorescence_is_refused_by_its_channels(
    tmp_path: Path, names: list[str] | None, channel: dict, said: str
) -> None:
    count = len(names or "abc")
    pages(tmp_path / "a.ome.tif", count, names, **channel)
    with pytest.raises(ValueError, match=rf"a\.ome\.tif has the channels {said}: fluorescence"):
        read_tiff(tmp_path / "a.ome.tif")


def imagej(path: Path, labels: list[str]) -> None:
    planes = np.moveaxis(PIXELS, -1, 0)
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "CYX", "Labels": labels})


def test_labels_of_imagej(tmp_path: Path) -> None:
    imagej(tmp_path / "a.tif", ["Red", "Green", "Blue"])
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), PIXELS)
    imagej(tmp_path / "b.tif", ["DAPI", "GFP", "RFP"])
    with pytest.raises(ValueError, match=r"b\.tif has the channels 'DAPI', 'GFP', 'RFP'"):
        read_tiff(tmp_path / "b.tif")


QPI = "<PerkinElmer-QPI-ImageDescription><Name>{}</Name></PerkinElmer-QPI-ImageDescription>"
BY_PERKINELMER = {"software": "PerkinElmer-QPI", "metadata": None}


def test_a_brightfield_qptiff(tmp_path: Path) -> None:
    scale = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    small = np.ascontiguousarray(PIXELS[::2, ::2])
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as file:
        for image, more in ((PIXELS, scale), (PIXELS[:16, :16], {}), (small, {})):
            said = {"description": QPI.format("H&amp;E"), **BY_PERKINELMER, **more}
            file.write(image, tile=(16, 16), photometric="rgb", **said)
    opened = read_tiff(tmp_path / "a.qptiff")
    assert (opened.format, opened.scale_um) == ("qptiff", (0.5, 0.5))
    np.testing.assert_array_equal(read(tmp_path / "a.qptiff"), PIXELS)
    assert [level.shape for level in opened.levels] == [(3, 60, 80), (3, 30, 40)]


@pytest.mark.parametrize("count", [3, 4])
def test_a_fluorescence_qptiff_is_refused_though_its_thumbnail_is_rgb(
    tmp_path: Path, count: int
) -> None:
    names = ["DAPI", "CD3", "CD8", "CD20"][:count]
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as file:
        for name in names:
            said = {"description": QPI.format(name), **BY_PERKINELMER}
            file.write(ALPHA, tile=(16, 16), photometric="minisblack", **said)
        file.write(PIXELS[:16, :16], photometric="rgb", **BY_PERKINELMER)
    with pytest.raises(ValueError, match=r"a\.qptiff has the channels 'DAPI', 'CD3', 'CD8'"):
        read_tiff(tmp_path / "a.qptiff")
