"""A JPEG or PNG as a lazy pyramid: decoded on first reading, once for all blocks. Arrays only."""

from __future__ import annotations

import struct
import threading
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

import dask.array as da
import numpy as np
from PIL import Image
from PIL.Image import Transpose
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from stflow.images.files._lazy import TO_EIGHT_BITS, TO_RGB, count_halvings, lazy_levels
from stflow.images.files._orientation import TAG, UPRIGHT, known_orientation, swaps_axes

_STRIP = 1024
_TAIL_BYTES = 4096
_PNG_DEPTH_AT = 24
_JPEG_MARK = b"\xff\xd8"
_KINDS = {
    ".jpg": (JpegImageFile, b"\xff\xd9", ("RGB",)),
    ".jpeg": (JpegImageFile, b"\xff\xd9", ("RGB",)),
    ".png": (PngImageFile, b"\0\0\0\0IEND", ("RGB", "RGBA", "P")),
}
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
RASTER_SUFFIXES = tuple(_KINDS)
_decoding = threading.Lock()


def read_raster(path: Path, *, kind: str | None = None) -> list[da.Array]:
    """Open an RGB JPEG or PNG and its halvings without decoding it.

    The last image that was decoded stays in memory, so that reading it block by block, at
    whatever level, decodes it once; the next image takes its place. What is transparent lies on
    white; what lies otherwise than it is to be seen, as EXIF says, is upright.

    Parameters
    ----------
    path
        The file.
    kind
        Which of the two it is, ``".jpg"`` or ``".png"``. None: its extension says it.

    Returns
    -------
    The image, and what is left of it by averaging 2 x 2 pixels again and again; each of shape
    (3, height, width), uint8.

    Raises
    ------
    ValueError
        The file is not what its extension says, is cut short or is not 8-bit RGB.
    """
    kind = kind or path.suffix.lower()
    opener, end_mark, modes = _KINDS[kind]
    try:
        with opener(path) as image:  # Pillow's general opener refuses 180 million pixels or more
            (width, height), mode = image.size, image.mode
            if swaps_axes(_orientation(image)):
                width, height = height, width
            # Where what is coded starts, after thumbnails that have ends of their own.
            start = image.fp.tell() if image.fp else 0
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            depth = content[_PNG_DEPTH_AT]
            tail = max(start, len(content) - _TAIL_BYTES)
            complete = any(content.find(end_mark, place) >= 0 for place in (tail, start))
    except (SyntaxError, OSError) as error:
        raise ValueError(f"Image {path} cannot be read: {error}.") from error
    if not complete:
        raise ValueError(f"Image {path} is cut short: it has no end-of-image mark.")
    if kind == ".png" and depth > 8:
        raise ValueError(f"Image {path} has 16 bits a channel. {TO_EIGHT_BITS}")
    if mode not in modes:
        raise ValueError(f"Image {path} has the colour mode {mode!r}, not 'RGB'. {TO_RGB}")
    sizes = [
        (height >> level, width >> level) for level in range(1 + count_halvings(height, width))
    ]
    return lazy_levels(str(path), path.stat().st_mtime_ns, sizes, _read_window)


def _read_window(
    path: str, modified_ns: int, level: int, rows: slice, columns: slice
) -> np.ndarray:
    with _decoding:
        return _decode(path, modified_ns)[level][rows, columns]


@lru_cache(maxsize=1)
def _decode(path: str, modified_ns: int) -> list[np.ndarray]:
    """All levels of an image, each of shape (height, width, 3)."""
    _decode.cache_clear()  # else the last image stays until this one is complete
    with _open(Path(path)) as file:
        turn = _TURNS.get(_orientation(file))
        image = file if file.mode == "RGB" else _on_white(file)
        image = image if turn is None else image.transpose(turn)
        levels = [_to_array(image)]
        for _ in range(count_halvings(image.height, image.width)):
            even = (0, 0, image.width // 2 * 2, image.height // 2 * 2)
            image = image.reduce(2, box=even)
            levels.append(np.asarray(image))
    return levels


def _open(path: Path) -> Image.Image:
    with path.open("rb") as file:
        jpeg = file.read(2) == _JPEG_MARK
    return (JpegImageFile if jpeg else PngImageFile)(path)


def _orientation(image: Image.Image) -> int:
    """How the picture lies, by what stands before its pixels; they are not decoded for it."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return known_orientation(exif.get(TAG))
    except (SyntaxError, LookupError, TypeError, ValueError, OSError, struct.error):
        return UPRIGHT


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _to_array(image: Image.Image) -> np.ndarray:
    """Copy an image in strips, which halves the memory that this takes."""
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, _STRIP):
        bottom = min(top + _STRIP, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels
