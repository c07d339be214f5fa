"""Pure arrays: an OME, pyramidal or plain TIFF as lazy levels, through tifffile."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stflow.images._colours import RGB, RGBA
from stflow.images._file import ImageFile
from stflow.images._lazy import TO_EIGHT_BITS, TO_RGB, lazy_levels
from stflow.images._tiff_scale import find_scale

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
_SCANNERS = ("svs", "ndpi", "scn", "bif", "philips")
_ASPECT = 0.02
_OPEN_LEVELS = 64


def read_tiff(path: Path) -> ImageFile | None:
    """Open a TIFF without reading its pixels.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    The image, or None when the file is in the format of a scanner, which OpenSlide knows better.

    Raises
    ------
    ValueError
        The file is no TIFF, is cut short or does not hold one 8-bit RGB image.
    """
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            if any(getattr(file, f"is_{scanner}") for scanner in _SCANNERS):
                return None
            series = file.series[0]
            _require_whole(file, path)
            _require_rgb(series, path)
            levels = _pyramid(series.levels)
            sizes = [_size(level) for level in levels]
            scale, source = find_scale(file) or (None, "")
            kind = "ome-tiff" if file.is_ome else "tiff"
    except (TiffFileError, OSError, LookupError, TypeError, struct.error) as error:
        raise ValueError(f"Image {path} cannot be read as TIFF: {error}.") from error
    page = series.keyframe
    tile = (page.tilelength, page.tilewidth) if page.is_tiled else None
    arrays = lazy_levels(str(path), path.stat().st_mtime_ns, sizes, _read_window, tile=tile)
    return ImageFile(arrays, kind, scale, source)


def _size(level: TiffPageSeries) -> tuple[int, int]:
    return level.shape[level.axes.index("Y")], level.shape[level.axes.index("X")]


def _pyramid(levels: Sequence[TiffPageSeries]) -> list[TiffPageSeries]:
    """Keep the levels that show the whole image, each coarser than the one before."""
    height, width = _size(levels[0])
    kept = [levels[0]]
    for level in levels[1:]:
        ratio = (height / _size(level)[0]) / (width / _size(level)[1])
        if _size(level)[0] < _size(kept[-1])[0] and abs(ratio - 1) < _ASPECT:
            kept.append(level)
    return kept


def _require_whole(file: TiffFile, path: Path) -> None:
    """Raise ``ValueError`` when pixels would lie beyond the end of the file."""
    end = path.stat().st_size
    for level in file.series[0].levels:
        pages: list[Any] = [page for page in level.pages if page is not None]
        for page in pages:
            last = np.add(page.dataoffsets, page.databytecounts, dtype=np.int64)
            if last.max(initial=0) > end:
                raise ValueError(
                    f"Image {path} is cut short: it has {end} bytes and should have at least "
                    f"{last.max()}."
                )


def _require_rgb(series: TiffPageSeries, path: Path) -> None:
    """Raise ``ValueError`` unless the first level is one plane of 8-bit RGB or RGBA."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    colours = [sizes.pop(axis) for axis in "SC" if axis in sizes]
    if 0 in series.shape or not {"Y", "X"} <= set(sizes):
        raise ValueError(f"Image {path} has the shape {series.shape}: no pixels.")
    planes = {axis: size for axis, size in sizes.items() if axis not in "YX" and size > 1}
    if planes:
        raise ValueError(f"Image {path} is a stack of several planes {planes}; save one as RGB.")
    if series.dtype == np.uint16:
        raise ValueError(f"Image {path} has 16 bits a channel. {TO_EIGHT_BITS}")
    if series.dtype != np.uint8:
        raise ValueError(f"Image {path} holds {series.dtype}, not 8-bit RGB. {TO_RGB}")
    if max(colours, default=1) == 1:
        raise ValueError(f"Image {path} is greyscale or has a palette. {TO_RGB}")
    if sorted(colours)[:-1] not in ([], [1]) or max(colours) not in (3, 4):
        raise ValueError(f"Image {path} has {' x '.join(map(str, colours))} channels. {TO_RGB}")
    name = getattr(series.keyframe.photometric, "name", "unknown")
    if not _is_decoded_to_rgb(series.keyframe):
        raise ValueError(f"Image {path} has the colours {name}. {TO_RGB}")


def _is_decoded_to_rgb(page: Any) -> bool:
    """Whether tifffile gives RGB: JPEG is converted, YCbCr of other codecs is not."""
    jpeg = page.compression in (6, 7, 33007, 34892)
    return page.photometric in (1, 2) or (page.photometric == 6 and jpeg)


def _read_window(
    path: str, modified_ns: int, level: int, rows: slice, columns: slice
) -> np.ndarray:
    array, axes = _open_level(path, modified_ns, level)
    at = {"Y": rows, "X": columns, "S": slice(None), "C": slice(None)}
    window = np.asarray(array[tuple(at.get(axis, 0) for axis in axes)])
    kept = [axis for axis in axes if axis in at]
    pixels = window.transpose([kept.index(axis) for axis in sorted(kept, key="YXSC".index)])
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return (RGBA if pixels.shape[-1] == 4 else RGB).on_white(pixels)


@lru_cache(maxsize=_OPEN_LEVELS)
def _open_level(path: str, modified_ns: int, level: int) -> tuple[Any, str]:
    """Open a level as an array that reads what is sliced, with its axes.

    Plain pixels are mapped into memory; others are decoded tile by tile, and missing tiles are
    white.
    """
    import zarr
    from tifffile import TiffFile

    file = TiffFile(path)
    series = _pyramid(file.series[0].levels)[level]
    if series.dataoffset is not None:
        file.close()
        mapped = np.memmap(path, np.uint8, "r", offset=series.dataoffset, shape=series.shape)
        return mapped, series.axes
    return zarr.open_array(series.aszarr(level=0, fillvalue=255), mode="r"), series.axes
