"""Pure arrays: an image file of any supported format, opened by what its name ends in."""

from __future__ import annotations

from pathlib import Path

from stflow._validation import listing
from stflow.images._file import ImageFile
from stflow.images._openslide import OPENSLIDE_SUFFIXES, read_openslide
from stflow.images._raster import RASTER_SUFFIXES, read_raster
from stflow.images._tiff import TIFF_SUFFIXES, read_tiff

_MARKS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"II": ".tif", b"MM": ".tif"}

SUFFIXES = (*OPENSLIDE_SUFFIXES, *TIFF_SUFFIXES, *RASTER_SUFFIXES)


def open_image(path: Path) -> ImageFile:
    """Open an image file without reading its pixels.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file.
    ImportError
        The file needs OpenSlide, which is not installed.
    ValueError
        The format is not supported, or the file is damaged or not 8-bit RGB.
    """
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder. Name the image file in it, or read the output of an instrument "
            "with `stf.io.read_visium`, `read_visium_hd` or `read_xenium`."
        )
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path} ends in {suffix!r}; supported: {listing(SUFFIXES, limit=99)}.")
    if path.stat().st_size == 0:
        raise ValueError(f"Image {path} is empty (0 bytes).")
    if suffix in OPENSLIDE_SUFFIXES:
        return read_openslide(path)
    if suffix in TIFF_SUFFIXES:
        return read_tiff(path) or read_openslide(path)
    kind = "png" if suffix == ".png" else "jpeg"
    return ImageFile(read_raster(path), kind)


def open_by_content(path: Path) -> ImageFile:
    """Open a PNG, JPEG or TIFF, whatever its name ends in, without reading its pixels.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        The file needs OpenSlide, which is not installed.
    ValueError
        The file is of another format, or damaged or not 8-bit RGB.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with path.open("rb") as file:
        start = file.read(4)
    kind = next((kind for mark, kind in _MARKS.items() if start.startswith(mark)), None)
    if kind is None:
        raise ValueError(f"Image {path} is no PNG, JPEG or TIFF.")
    if kind == ".tif":
        return read_tiff(path) or read_openslide(path)
    return ImageFile(read_raster(path, kind=kind), "png" if kind == ".png" else "jpeg")
