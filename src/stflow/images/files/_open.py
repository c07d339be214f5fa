"""Pure arrays: an image file of any supported format, opened by what its name ends in."""

from __future__ import annotations

from pathlib import Path

from stflow._validation import listing
from stflow.images.files._file import ImageFile
from stflow.images.files._openslide import OPENSLIDE_SUFFIXES, read_openslide
from stflow.images.files._raster import RASTER_SUFFIXES, read_raster
from stflow.images.files._tiff import TIFF_SUFFIXES, is_by_scanner, read_tiff

_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MARKS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", **dict.fromkeys(_TIFF_MARKS, ".tif")}
_OF_MACOS = b"\0\x05\x16\x07"
_DICOM_MARK = b"DICM"
_DICOM_MARK_AT = 128

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
        raise IsADirectoryError(f"{path} is a folder. {_in_folder(path)}")
    start = _read_start(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        is_dicom = start[_DICOM_MARK_AT:] == _DICOM_MARK
        way_out = " This is DICOM: call it '.dcm'." if is_dicom else ""
        raise ValueError(
            f"{path} ends in {suffix!r}; supported: {listing(SUFFIXES, limit=99)}.{way_out}"
        )
    if not start:
        raise ValueError(f"Image {path} is empty (0 bytes).")
    if suffix in RASTER_SUFFIXES:
        kind = "png" if suffix == ".png" else "jpeg"
        return ImageFile(read_raster(path), kind)
    is_tiff = start[:4] in _TIFF_MARKS
    if suffix in TIFF_SUFFIXES and not (is_tiff and is_by_scanner(path)):
        return read_tiff(path)
    return _read_scanners(path, is_tiff=is_tiff)


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
    start = _read_start(path)
    kind = next((kind for mark, kind in _MARKS.items() if start.startswith(mark)), None)
    if kind is None:
        raise ValueError(f"Image {path} is no PNG, JPEG or TIFF.")
    if kind == ".tif":
        return _read_scanners(path, is_tiff=True) if is_by_scanner(path) else read_tiff(path)
    return ImageFile(read_raster(path, kind=kind), "png" if kind == ".png" else "jpeg")


def _read_start(path: Path) -> bytes:
    """Read the first bytes of a file, unless it is none or a companion that macOS wrote."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with path.open("rb") as file:
        start = file.read(_DICOM_MARK_AT + len(_DICOM_MARK))
    if start.startswith(_OF_MACOS):
        of = f" of {path.name[2:]!r}" if path.name.startswith("._") else ""
        raise ValueError(
            f"{path} is no image but a hidden companion{of} that macOS wrote (AppleDouble). Name "
            "the image itself."
        )
    return start


def _in_folder(path: Path) -> str:
    """Say what to do with a folder."""
    slices = sorted(file.name for file in path.iterdir() if file.suffix.lower() == ".dcm")
    slices = [name for name in slices if not name.startswith("._")]
    if slices:
        return (
            f"Name one of the DICOM files in it ({listing(slices, limit=3)}); the others of its "
            "slide are found beside it."
        )
    return (
        "Name the image file in it, or read the output of an instrument with "
        "`stf.io.read_visium`, `read_visium_hd` or `read_xenium`."
    )


def _read_scanners(path: Path, *, is_tiff: bool) -> ImageFile:
    """Open a scanner's file by OpenSlide, or by tifffile where OpenSlide is missing or refuses."""
    try:
        return read_openslide(path)
    except (ImportError, ValueError) as refusal:
        if not is_tiff:
            raise
        try:
            return read_tiff(path)
        except ValueError as error:
            raise type(refusal)(f"{refusal} tifffile cannot read it either: {error}") from error
