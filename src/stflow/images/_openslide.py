"""Pure arrays: a scanner's file as lazy levels, through OpenSlide."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stflow.images._colours import RGBA
from stflow.images._file import ImageFile
from stflow.images._lazy import lazy_levels

if TYPE_CHECKING:
    from openslide import OpenSlide

OPENSLIDE_SUFFIXES = (
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".svslide",
    ".vms",
    ".vmu",
    ".czi",
    ".dcm",
)
_NUMBERS = ("mpp-x", "mpp-y", "objective-power")
_CELL = 256
_OPEN_SLIDES = 16


def read_openslide(path: Path) -> ImageFile:
    """Open a whole-slide file without reading its pixels.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ImportError
        OpenSlide is not installed.
    ValueError
        OpenSlide cannot open the file.
    """
    openslide = _import_openslide(path)
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        why = str(error) or "it is in no format that OpenSlide knows"
        raise ValueError(f"Slide {path} cannot be read: {why}.") from error
    told = dict(slide.properties)
    x, y, power = (_number(told.get(f"openslide.{name}")) for name in _NUMBERS)
    height, width = (
        int(told.get(f"openslide.level[0].tile-{side}", _CELL)) for side in ("height", "width")
    )
    levels = lazy_levels(
        str(path),
        path.stat().st_mtime_ns,
        [(rows, columns) for columns, rows in slide.level_dimensions],
        _read_window,
        tile=(height, width),
    )
    slide.close()
    scale = (x, y) if x and y else None
    return ImageFile(levels, told["openslide.vendor"], scale, "scanner", power)


def _import_openslide(path: Path) -> Any:
    try:
        import openslide
    except ImportError as error:
        raise ImportError(
            f'Reading {path} needs OpenSlide. Install it with `pip install "stflow-spatial[wsi]"`.'
        ) from error
    return openslide


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None


def _read_window(
    path: str, modified_ns: int, level: int, rows: slice, columns: slice
) -> np.ndarray:
    """Read cells of a fixed grid.

    A level's scale is rarely a whole number, and OpenSlide shifts what it paints by the fraction
    of a pixel that the corner is off; so a pixel would depend on the window that it is read with.
    """
    slide = _open(path, modified_ns)
    tops = range(rows.start // _CELL * _CELL, rows.stop, _CELL)
    lefts = range(columns.start // _CELL * _CELL, columns.stop, _CELL)
    cells = [[_read_cell(slide, level, top, left) for left in lefts] for top in tops]
    pixels = np.concatenate([np.concatenate(row, axis=1) for row in cells])
    y, x = rows.start - tops.start, columns.start - lefts.start
    return pixels[y : y + rows.stop - rows.start, x : x + columns.stop - columns.start]


def _read_cell(slide: OpenSlide, level: int, top: int, left: int) -> np.ndarray:
    width, height = slide.level_dimensions[level]
    factor = slide.level_downsamples[level]
    corner = (round(left * factor), round(top * factor))
    size = (min(_CELL, width - left), min(_CELL, height - top))
    return RGBA.on_white(np.asarray(slide.read_region(corner, level, size)))


@lru_cache(maxsize=_OPEN_SLIDES)
def _open(path: str, modified_ns: int) -> OpenSlide:
    from openslide import OpenSlide

    return OpenSlide(path)
