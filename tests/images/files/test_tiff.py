"""TIFFs of every layout give the same pixels; what tells their scale is believed with care."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from stflow.images.files._tiff import is_by_scanner, read_tiff

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)
RGB = {"photometric": "rgb"}
SMALL_TILES = {"tile": (64, 48), "compression": "zlib", **RGB}
UM = "µm"


def read(path: Path, level: int = 0) -> np.ndarray:
    file = read_tiff(path)
    return np.moveaxis(file.levels[level].compute(), 0, -1)


def ome(x: float, y: float, unit: str = UM) -> dict:
    sizes = {"PhysicalSizeX": x, "PhysicalSizeY": y}
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    return {"metadata": {"axes": "YXS", **sizes, **units}, "ome": True}


LAYOUTS = {
    "plain": RGB,
    "strips": {"rowsperstrip": 7, **RGB},
    "tiles": {"tile": (64, 48), **RGB},
    "compressed strips": {"rowsperstrip": 13, "compression": "lzw", **RGB},
    "compressed tiles": SMALL_TILES,
    "big-endian BigTIFF": {"bigtiff": True, "byteorder": ">", **RGB},
    "OME": {"ome": True, **SMALL_TILES},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixels_are_exact_whatever_the_layout(tmp_path: Path, layout: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **LAYOUTS[layout])
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"photometric": "rgb", "planarconfig": "separate"},
        {"ome": True, "photometric": "minisblack"},
    ],
    ids=["planes of one page", "a page for each channel"],
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_first(tmp_path: Path, kwargs: dict, compression: str | None) -> None:
    planes = np.moveaxis(PIXELS, -1, 0)
    metadata = {"axes": "CYX"} if kwargs.get("ome") else None
    tifffile.imwrite(
        tmp_path / "a.tif", planes, metadata=metadata, compression=compression, **kwargs
    )
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), PIXELS)


def test_jpeg_tiles_come_as_rgb(tmp_path: Path) -> None:
    flat = np.full((128, 128, 3), (200, 40, 120), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", flat, tile=(64, 64), compression="jpeg", **RGB)
    assert np.abs(read(tmp_path / "a.tif").astype(int) - flat).max() <= 3


def halves(n: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(PIXELS[:: 2**i, :: 2**i]) for i in range(n)]


@pytest.mark.parametrize("below", [True, False], ids=["below the page", "page after page"])
def test_levels_of_a_pyramid(tmp_path: Path, below: bool) -> None:
    first, *rest = halves(3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(first, subifds=len(rest) if below else None, metadata=None, **SMALL_TILES)
        for each in rest:
            file.write(each, subfiletype=1, metadata=None, **SMALL_TILES)
    opened = read_tiff(tmp_path / "a.tif")
    assert len(opened.levels) == 3
    for number, pixels in enumerate((first, *rest)):
        np.testing.assert_array_equal(read(tmp_path / "a.tif", number), pixels)


def test_a_label_of_another_shape_is_no_level(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PIXELS, metadata=None, **SMALL_TILES)
        file.write(PIXELS[:100, :100], metadata=None, **RGB)
    opened = read_tiff(tmp_path / "a.tif")
    assert len(opened.levels) == 1


def test_windows_from_several_threads(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **SMALL_TILES)
    opened = read_tiff(tmp_path / "a.tif")
    corners = np.random.default_rng(1).integers(0, 250, (64, 2))

    def cut(corner: np.ndarray) -> bool:
        y, x = corner
        window = opened.levels[0][:, y : y + 50, x : x + 50].compute(scheduler="sync")
        return bool((window == np.moveaxis(PIXELS[y : y + 50, x : x + 50], -1, 0)).all())

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(cut, corners))


def test_a_huge_sparse_pyramid_opens_and_is_read_in_windows(tmp_path: Path) -> None:
    tile = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    held = {0, 98 * 40 + 50}
    kwargs = {"tile": (1024, 1024), "dtype": "uint8", "compression": "zlib", **RGB}
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as file:
        tiles = (tile if i in held else None for i in range(98**2))
        file.write(tiles, shape=(100_000, 100_000, 3), subifds=1, **kwargs)
        tiles = (tile if i in held else None for i in range(25**2))
        file.write(tiles, shape=(25_000, 25_000, 3), subfiletype=1, **kwargs)
    opened = read_tiff(tmp_path / "a.tif")
    assert [level.shape for level in opened.levels] == [(3, 100_000, 100_000), (3, 25_000, 25_000)]
    window = opened.levels[0][:, 40 * 1024 : 41 * 1024, 50 * 1024 + 10 : 51 * 1024].compute()
    np.testing.assert_array_equal(window, np.moveaxis(tile[:, 10:], -1, 0))
    assert (opened.levels[0][:, 70_000:70_100, -100:].compute() == 255).all()


# scale

INCH, CM = "INCH", "CENTIMETER"


@pytest.mark.parametrize(
    ("kwargs", "scale", "source"),
    [
        (ome(0.25, 0.25), (0.25, 0.25), "OME-XML"),
        (ome(250, 250, "nm"), (0.25, 0.25), "OME-XML"),
        (ome(0.0005, 0.00025, "mm"), (0.5, 0.25), "OME-XML"),
        (ome(20, 20), (20, 20), "OME-XML"),
        ({"resolution": (20_000, 20_000), "resolutionunit": CM}, (0.5, 0.5), "resolution tags"),
        ({"resolution": (50_800, 25_400), "resolutionunit": INCH}, (0.5, 1), "resolution tags"),
        (
            {"resolution": (2, 2), "imagej": True, "metadata": {"unit": "um"}},
            (0.5, 0.5),
            "ImageJ metadata",
        ),
        (
            {"resolution": (4, 4), "imagej": True, "metadata": {"unit": "micron"}},
            (0.25, 0.25),
            "ImageJ metadata",
        ),
    ],
)
def test_scale_that_the_file_says(
    tmp_path: Path, kwargs: dict, scale: tuple[float, float], source: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **RGB, **kwargs)
    opened = read_tiff(tmp_path / "a.tif")
    assert opened.scale_um == pytest.approx(scale)
    assert opened.scale_source == source


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        *({"resolution": (dpi, dpi), "resolutionunit": INCH} for dpi in (1, 72, 96, 300, 1200)),
        {"resolution": (20_000, 20_000), "resolutionunit": "NONE"},
        {"resolution": (1e9, 1e9), "resolutionunit": CM},
        {"resolution": (2, 2), "imagej": True, "metadata": {"unit": "pixel"}},
        ome(1, 1, "pixel"),
        ome(0, 0),
        {"ome": True},
    ],
)
def test_what_tells_no_scale(tmp_path: Path, kwargs: dict) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **RGB, **kwargs)
    opened = read_tiff(tmp_path / "a.tif")
    assert opened.scale_um is None


def damaged_ome() -> list[str]:
    pixels = (
        '<Pixels DimensionOrder="XYCZT" ID="Pixels:0" SizeC="3" SizeT="1" SizeX="420" SizeY="300" '
        'SizeZ="1" Type="uint8" PhysicalSizeX="0.5" PhysicalSizeY="many">'
        '<Channel ID="Channel:0" SamplesPerPixel="3"/><TiffData/></Pixels>'
    )
    head = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    return [
        "<OME <broken </OME>",
        f"{head}</OME>",
        f'{head}<Image ID="Image:0">{pixels}</Image></OME>',
    ]


@pytest.mark.parametrize("xml", damaged_ome(), ids=["no XML", "no image", "no number"])
def test_damaged_ome_metadata_tells_no_scale_and_keeps_the_pixels(tmp_path: Path, xml: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, description=xml, metadata=None, **RGB)
    opened = read_tiff(tmp_path / "a.tif")
    assert opened.scale_um is None
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), PIXELS)


# what is refused


def test_an_image_without_pixels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, metadata=None, **RGB)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages.first.tags["ImageLength"].overwrite(0)
    with pytest.raises(ValueError, match=r"shape \(0, 420, 3\): no pixels"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("pixels", "kwargs", "message"),
    [
        (PIXELS[..., 0], {}, "is greyscale or has a palette. Save it as 8-bit RGB"),
        (PIXELS[..., 0], {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)},
         "is greyscale or has a palette"),
        (PIXELS.astype(np.uint16), RGB, "16 bits a channel. Save it as 8-bit RGB, so that"),
        (PIXELS[..., 0].astype(np.uint16), {}, "16 bits a channel"),
        (PIXELS.astype(np.float32), RGB, "holds float32, not 8-bit RGB"),
        (np.stack([PIXELS] * 2), RGB, "is a stack of several planes"),
        (PIXELS[..., :2], {"photometric": "minisblack", "planarconfig": "contig"}, "2 channels"),
        (np.dstack([PIXELS, PIXELS[..., 0]]), {"photometric": "separated"}, "colours .*SEPARATED"),
    ],
)  # fmt: skip
def test_what_is_not_one_rgb_image(
    tmp_path: Path, pixels: np.ndarray, kwargs: dict, message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, **kwargs)
    with pytest.raises(ValueError, match=rf"a\.tif.*{message}"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("bytes_left", [2, 7, 90, 0.5, 0.99])
@pytest.mark.parametrize("layout", ["plain", "compressed tiles", "OME"])
def test_a_file_cut_short(tmp_path: Path, layout: str, bytes_left: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **LAYOUTS[layout])
    content = (tmp_path / "a.tif").read_bytes()
    n = int(bytes_left * len(content)) if bytes_left < 1 else int(bytes_left)
    (tmp_path / "a.tif").write_bytes(content[:n])
    with pytest.raises(ValueError, match=r"a\.tif (is cut short|cannot be read as TIFF)"):
        read_tiff(tmp_path / "a.tif")


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not an image at all")
    with pytest.raises(ValueError, match=r"a\.tif cannot be read as TIFF: not a TIFF file"):
        read_tiff(tmp_path / "a.tif")


def test_damage_inside_is_found_when_it_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **SMALL_TILES)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start = file.pages.first.dataoffsets[3]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + 40] = bytes(40)
    (tmp_path / "a.tif").write_bytes(content)
    opened = read_tiff(tmp_path / "a.tif")
    with pytest.raises(OSError, match=r"Image .*a\.tif cannot be read: "):
        opened.levels[0].compute()


def test_a_scanners_tiff_is_told_apart(tmp_path: Path) -> None:
    by_aperio = {"description": "Aperio Image Library v11", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, **by_aperio, **SMALL_TILES)
    assert is_by_scanner(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", PIXELS, **SMALL_TILES)
    assert not is_by_scanner(tmp_path / "b.tif")
    (tmp_path / "c.tif").write_text("no TIFF")
    assert not is_by_scanner(tmp_path / "c.tif")


def test_tiffs_by_pillow(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", compression="tiff_lzw", dpi=(72, 72))
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), PIXELS)
    opened = read_tiff(tmp_path / "a.tif")
    assert opened.scale_um is None
