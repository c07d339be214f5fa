"""Pure values: which images of a TIFF are the slide and its levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_ASPECT = 0.02


def find_slide(file: TiffFile, path: Path) -> TiffPageSeries:
    """Return the largest image of a TIFF: labels, overviews and thumbnails are smaller.

    Parameters
    ----------
    file
        Opened by tifffile.
    path
        What messages name.

    Raises
    ------
    ValueError
        There is no image, or two are the largest and either may be the slide. A mask in grey
        beside colours may not.
    """
    images = [series for series in file.series if {"Y", "X"} <= set(series.axes)]
    images = [series for series in images if 0 not in series.shape]
    if not images:
        shapes = " and ".join(str(series.shape) for series in file.series) or "none"
        raise ValueError(f"Image {path} has the shape {shapes}: no pixels.")
    most = max(area(series) for series in images)
    largest = [series for series in images if area(series) == most]
    coloured = [series for series in largest if channel_counts(series)] or largest
    if len(coloured) > 1:
        height, width = size(coloured[0])
        raise ValueError(
            f"Image {path} holds {len(coloured)} images of {width} x {height} pixels, planes or "
            "parts of a slide; save the one to read as a file of its own."
        )
    return coloured[0]


def size(series: TiffPageSeries) -> tuple[int, int]:
    """Height and width."""
    return series.shape[series.axes.index("Y")], series.shape[series.axes.index("X")]


def area(series: TiffPageSeries) -> int:
    """Return the number of pixels."""
    height, width = size(series)
    return height * width


def channel_counts(series: TiffPageSeries) -> list[int]:
    """Return how many samples a page has, and pages that are channels, where more than one."""
    counts = (count for axis, count in zip(series.axes, series.shape, strict=True) if axis in "SC")
    return [count for count in counts if count > 1]


def pyramid(levels: Sequence[TiffPageSeries]) -> list[TiffPageSeries]:
    """Keep the levels that show the whole image, each coarser than the one before."""
    height, width = size(levels[0])
    kept = [levels[0]]
    for level in levels[1:]:
        ratio = (height / size(level)[0]) / (width / size(level)[1])
        if size(level)[0] < size(kept[-1])[0] and abs(ratio - 1) < _ASPECT:
            kept.append(level)
    return kept


def require_whole(slide: TiffPageSeries, path: Path) -> None:
    """Raise ``ValueError`` when pixels would lie beyond the end of the file."""
    end = path.stat().st_size
    for level in slide.levels:
        pages: list[Any] = [page for page in level.pages if page is not None]
        for page in pages:
            last = np.add(page.dataoffsets, page.databytecounts, dtype=np.int64)
            if last.max(initial=0) > end:
                raise ValueError(
                    f"Image {path} is cut short: it has {end} bytes and should have at least "
                    f"{last.max()}."
                )
