"""Pure values: the size of a TIFF's pixel, as its metadata and tags have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stflow.images.files._ome import ome_pixels
from stflow.images.files._scale import Claim, described, to_number

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

# Micrometres in a unit, as OME-XML, ImageJ and the TIFF tag (inch 2, centimetre 3) name it.
_UM = {
    "pm": 1e-6,
    "nm": 1e-3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "\\u00B5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
}
_TAG_UNITS = {2: "inch", 3: "cm"}
# As Aperio's and PerkinElmer's scanners write it into the description of a page.
_SIZES = (r"\bMPP\s*=", r"<PixelSizeMicrons>")
_POWERS = (r"\bAppMag\s*=", r"<Magnification>")


def claim_scales(file: TiffFile, slide: TiffPageSeries) -> Iterator[Claim]:
    """Yield what OME-XML, ImageJ's metadata or tags, and a scanner's description say.

    Parameters
    ----------
    file
        Opened by tifffile.
    slide
        The image in it.
    """
    claims = (_from_ome(file, slide), _from_tags(file, slide.keyframe), _from_text(slide.keyframe))
    yield from (claim for claim in claims if claim)


def find_magnification(slide: TiffPageSeries) -> float | None:
    """Magnification of the objective, as a scanner's description has it."""
    text = slide.keyframe.description
    return next(filter(None, (described(text, pattern) for pattern in _POWERS)), None)


def _from_ome(file: TiffFile, slide: TiffPageSeries) -> Claim | None:
    pixels = ome_pixels(file, slide)
    if pixels is None:
        return None
    units = [_UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XY"]
    sizes = [to_number(pixels.get(f"PhysicalSize{axis}")) for axis in "XY"]
    return _claim(sizes, units, "OME-XML")


def _from_tags(file: TiffFile, page: Any) -> Claim | None:
    unit, source = _TAG_UNITS.get(int(page.resolutionunit), ""), "resolution tags"
    if file.is_imagej:
        unit, source = str((file.imagej_metadata or {}).get("unit")), "ImageJ metadata"
    sizes = [_size(page, tag) for tag in ("XResolution", "YResolution")]
    return _claim(sizes, [_UM.get(unit)] * 2, source)


def _from_text(page: Any) -> Claim | None:
    size = next(filter(None, (described(page.description, text) for text in _SIZES)), None)
    return _claim([size] * 2, [1.0] * 2, "scanner")


def _claim(sizes: list[float | None], units: list[float | None], source: str) -> Claim | None:
    x, y = (size * unit if size and unit else None for size, unit in zip(sizes, units, strict=True))
    return Claim((x, y), source) if x and y else None


def _size(page: Any, tag: str) -> float | None:
    """Units of length per pixel; None where there is no such tag or it makes no sense."""
    numerator, denominator = page.tags.valueof(tag, default=(0, 1))
    return denominator / numerator if numerator and denominator else None
