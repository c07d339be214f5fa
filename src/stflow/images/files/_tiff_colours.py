"""Pure values: what the samples of a TIFF's pixel mean, or why they are no colours of a stain.

Samples of one page are red, green and blue where the page says so (photometric interpretation RGB,
or JPEG's YCbCr, which is decoded to it), and where it has three and says nothing. What follows is
alpha only where the tag ExtraSamples says so: 1, the colours were multiplied by it; 2, they were
not. A fourth sample of unspecified meaning is left out. Pages that are channels are what their
names say, see `find_colours`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stflow._validation import listing, warn
from stflow.images._colours import RGB, Colours, find_colours
from stflow.images.files._lazy import TO_EIGHT_BITS, TO_RGB
from stflow.images.files._ome import channel_names
from stflow.images.files._tiff_series import channel_counts

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_ASSOCIATED, _UNASSOCIATED = 1, 2
_MINISBLACK, _RGB, _YCBCR = 1, 2, 6
_JPEG = (6, 7, 33007, 34892)
_UNSURE_JPEG2000 = 33003


def require_colours(file: TiffFile, slide: TiffPageSeries, path: Path) -> Colours:
    """Tell which samples are the colours of an 8-bit image.

    Parameters
    ----------
    file
        Opened by tifffile.
    slide
        The image in it.
    path
        What messages name.

    Raises
    ------
    ValueError
        The image is no plane of 8-bit RGB or RGBA.
    """
    _require_plane_of_bytes(slide, path)
    counts = channel_counts(slide)
    if not counts:
        raise ValueError(f"Image {path} is greyscale or has a palette. {TO_RGB}")
    if len(counts) > 1 or counts[0] not in (3, 4):
        raise ValueError(f"Image {path} has {' x '.join(map(str, counts))} channels. {TO_RGB}")
    page = slide.keyframe
    if not _is_decoded_to_rgb(page):
        name = getattr(page.photometric, "name", "unknown")
        raise ValueError(f"Image {path} has the colours {name}. {TO_RGB}")
    if page.samplesperpixel > 1:
        return _of_samples(page, path)
    return _of_pages(file, slide, counts[0], path)


def _require_plane_of_bytes(slide: TiffPageSeries, path: Path) -> None:
    sizes = dict(zip(slide.axes, slide.shape, strict=True))
    planes = {axis: n for axis, n in sizes.items() if axis not in "YXSC" and n > 1}
    if planes:
        raise ValueError(f"Image {path} is a stack of several planes {planes}; save one as RGB.")
    if slide.dtype == np.uint16:
        raise ValueError(f"Image {path} has 16 bits a channel. {TO_EIGHT_BITS}")
    if slide.dtype != np.uint8:
        raise ValueError(f"Image {path} holds {slide.dtype}, not 8-bit RGB. {TO_RGB}")


def _is_decoded_to_rgb(page: Any) -> bool:
    """Whether tifffile gives RGB: JPEG is converted, YCbCr of other codecs is not."""
    if page.compression == _UNSURE_JPEG2000:
        return False
    decoded = page.photometric == _YCBCR and page.compression in _JPEG
    return decoded or page.photometric in (_MINISBLACK, _RGB)


def _of_samples(page: Any, path: Path) -> Colours:
    if page.samplesperpixel == 3:
        return RGB
    kind = int(page.extrasamples[-1]) if page.extrasamples else 0
    if kind in (_ASSOCIATED, _UNASSOCIATED):
        return Colours(alpha=3, premultiplied=kind == _ASSOCIATED)
    if page.photometric == _MINISBLACK:
        raise ValueError(
            f"Image {path} has 4 samples a pixel and says of none what it is (photometric "
            f"interpretation MINISBLACK, ExtraSamples {kind}). {TO_RGB}"
        )
    warn(
        f"Image {path} has a fourth sample a pixel that is not said to be alpha (ExtraSamples "
        f"{kind}); it is left out. If it is transparency, save the image as RGB on white."
    )
    return RGB


def _of_pages(file: TiffFile, slide: TiffPageSeries, count: int, path: Path) -> Colours:
    names = channel_names(file, slide)
    if len(names) != count:
        names = [""] * count
    colours = find_colours(names)
    if colours is None:
        raise ValueError(
            f"Image {path} has the channels {listing(names)}: fluorescence, it seems, not red, "
            f"green and blue. {TO_RGB}"
        )
    return colours
