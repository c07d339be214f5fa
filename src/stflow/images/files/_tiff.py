"""Pure arrays: an OME, pyramidal or plain TIFF as lazy levels, through tifffile."""

from __future__ import annotations

import struct
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from stflow.images._colours import Colours
from stflow.images.files._file import ImageFile
from stflow.images.files._lazy import lazy_levels
from stflow.images.files._orientation import TAG, known_orientation, set_upright, swaps_axes
from stflow.images.files._scale import believe
from stflow.images.files._tiff_colours import require_colours
from stflow.images.files._tiff_scale import claim_scales, find_magnification
from stflow.images.files._tiff_series import find_slide, pyramid, require_whole, size

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".qptiff")
_SCANNERS = ("svs", "ndpi", "scn", "bif", "philips")
_OPEN_LEVELS = 64


def is_by_scanner(path: Path) -> bool:
    """Whether a file is a TIFF in the format of a scanner, which OpenSlide knows better."""
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            return any(getattr(file, f"is_{scanner}") for scanner in _SCANNERS)
    except (TiffFileError, OSError, LookupError, TypeError, struct.error):
        return False


def read_tiff(path: Path) -> ImageFile:
    """Open the largest image of a TIFF without reading its pixels, upright.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        The file is no TIFF, is cut short or does not hold one 8-bit RGB image.
    """
    from tifffile import TiffFile, TiffFileError

    try:
        with TiffFile(path) as file:
            return _describe(file, path)
    except (TiffFileError, OSError, LookupError, TypeError, struct.error) as error:
        raise ValueError(f"Image {path} cannot be read as TIFF: {error}.") from error


def _describe(file: Any, path: Path) -> ImageFile:
    if file.is_bif:
        raise ValueError(f"Image {path} is a BIF, whose tiles overlap: OpenSlide alone reads it.")
    slide = find_slide(file, path)
    require_whole(slide, path)
    colours = require_colours(file, slide, path)
    page = slide.keyframe
    orientation = known_orientation(page.tags.valueof(TAG))
    um, source, doubtful = believe(claim_scales(file, slide))
    levels = lazy_levels(
        str(path),
        path.stat().st_mtime_ns,
        [size(level) for level in pyramid(slide.levels)],
        partial(_read_window, colours=colours),
        tile=(page.tilelength, page.tilewidth) if page.is_tiled else None,
    )
    return ImageFile(
        levels=set_upright(levels, orientation),
        format=_format(file),
        scale_um=um[::-1] if um and swaps_axes(orientation) else um,
        scale_source=source,
        doubtful_scale=doubtful,
        magnification=find_magnification(slide),
    )


def _format(file: Any) -> str:
    if file.is_ome:
        return "ome-tiff"
    return "qptiff" if file.is_qpi else "tiff"


def _read_window(
    path: str, modified_ns: int, level: int, rows: slice, columns: slice, *, colours: Colours
) -> np.ndarray:
    array, axes = _open_level(path, modified_ns, level)
    at = {"Y": rows, "X": columns, "S": slice(None), "C": slice(None)}
    window = np.asarray(array[tuple(at.get(axis, 0) for axis in axes)])
    kept = [axis for axis in axes if axis in at]
    pixels = window.transpose([kept.index(axis) for axis in sorted(kept, key="YXSC".index)])
    return colours.on_white(pixels.reshape(*pixels.shape[:2], -1))


@lru_cache(maxsize=_OPEN_LEVELS)
def _open_level(path: str, modified_ns: int, level: int) -> tuple[Any, str]:
    """Open a level as an array that reads what is sliced, with its axes.

    Plain pixels are mapped into memory; others are decoded tile by tile, and missing tiles are
    white.
    """
    import zarr
    from tifffile import TiffFile

    file = TiffFile(path)
    series = pyramid(find_slide(file, Path(path)).levels)[level]
    if series.dataoffset is not None:
        file.close()
        mapped = np.memmap(path, np.uint8, "r", offset=series.dataoffset, shape=series.shape)
        return mapped, series.axes
    return zarr.open_array(series.aszarr(level=0, fillvalue=255), mode="r"), series.axes
