"""A JPEG as a lazy pyramid: decoded on first reading, once for all blocks. Arrays only."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

CHUNK = 2048
_MOST_HALVINGS = 3
_STRIP = 1024
_END_OF_IMAGE = b"\xff\xd9"
_TAIL_BYTES = 4096
_decoding = threading.Lock()


def count_halvings(height: int, width: int) -> int:
    """How often an image is halved: three times, or as often as its size allows."""
    return min(_MOST_HALVINGS, min(height, width).bit_length() - 1)


def read_jpeg(path: Path) -> list[da.Array]:
    """Open an RGB JPEG and its halvings without decoding it.

    The last image that was decoded stays in memory, so that reading it block by block, at
    whatever level, decodes it once; the next image takes its place.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    The image, and what is left of it by averaging 2 x 2 pixels again and again; each of shape
    (3, height, width), uint8.

    Raises
    ------
    ValueError
        The file is not a JPEG, is cut short or is not RGB.
    """
    try:
        with _open(path) as image:
            (width, height), mode = image.size, image.mode
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            complete = _END_OF_IMAGE in file.read()
    except (SyntaxError, OSError) as error:
        raise ValueError(f"Image {path} cannot be read: {error}.") from error
    if not complete:
        raise ValueError(f"Image {path} is cut short: it has no end-of-image mark.")
    if mode != "RGB":
        raise ValueError(f"Image {path} has the colour mode {mode!r}, not 'RGB'.")
    modified = path.stat().st_mtime_ns
    levels = [
        LazyJpeg(str(path), modified, level, (3, height >> level, width >> level))
        for level in range(1 + count_halvings(height, width))
    ]
    nothing = np.empty((0, 0, 0), dtype=np.uint8)
    return [da.from_array(level, chunks=(3, CHUNK, CHUNK), meta=nothing) for level in levels]


@dataclass(frozen=True, slots=True)
class LazyJpeg:
    """What dask needs to know of an array, and where to read it.

    Parameters
    ----------
    path
        The file.
    modified_ns
        When the file last changed; tells two contents of one path apart.
    level
        How often the image is halved.
    shape
        Channels, height and width.
    """

    path: str
    modified_ns: int
    level: int
    shape: tuple[int, int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a channel's value."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        """Pixels of a window, channels first, as an array of its own."""
        with _decoding:
            pixels = _decode(self.path, self.modified_ns)[self.level]
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)[window])


@lru_cache(maxsize=1)
def _decode(path: str, modified_ns: int) -> list[np.ndarray]:
    """All levels of an image, each of shape (height, width, 3)."""
    _decode.cache_clear()  # else the last image stays until this one is complete
    try:
        with _open(path) as image:
            levels = [_to_array(image)]
            for _ in range(count_halvings(image.height, image.width)):
                even = (0, 0, image.width // 2 * 2, image.height // 2 * 2)
                image = image.reduce(2, box=even)
                levels.append(np.asarray(image))
    except (SyntaxError, OSError) as error:
        raise ValueError(f"Image {path} does not decode: {error}.") from error
    return levels


def _open(path: str | Path) -> Image.Image:
    """Open a JPEG; Pillow's general opener would refuse one of 180 million pixels or more."""
    return JpegImageFile(path)


def _to_array(image: Image.Image) -> np.ndarray:
    """Copy an image in strips, which halves the memory that this takes."""
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, _STRIP):
        bottom = min(top + _STRIP, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels
