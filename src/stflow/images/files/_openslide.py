"""Pure arrays: a scanner's file as lazy levels, through OpenSlide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stflow.images._colours import RGBA
from stflow.images.files._file import ImageFile
from stflow.images.files._lazy import lazy_levels
from stflow.images.files._scale import Claim, believe, to_number

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
_UM = {"centimeter": 1e4, "inch": 25400.0}
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
    scale = believe(_claim_scales(told))
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
    power = to_number(told.get("openslide.objective-power"))
    return ImageFile(levels, told["openslide.vendor"], *scale, power)


def _import_openslide(path: Path) -> Any:
    try:
        import openslide
    except ImportError as error:
        raise ImportError(
            f'Reading {path} needs OpenSlide. Install it with `pip install "stflow-spatial[wsi]"`.'
        ) from error
    return openslide


def _claim_scales(told: Mapping[str, str]) -> Iterator[Claim]:
    """Yield what the scanner says of its scale, and then what the tags of a TIFF do."""
    x, y = (to_number(told.get(f"openslide.mpp-{axis}")) for axis in "xy")
    if x and y:
        yield Claim((x, y), "scanner")
    unit = _UM.get(told.get("tiff.ResolutionUnit", ""))
    x, y = (to_number(told.get(f"tiff.{axis}Resolution")) for axis in "XY")
    if unit and x and y:
        yield Claim((unit / x, unit / y), "resolution tags")


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
