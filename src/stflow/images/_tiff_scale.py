"""Pure values: the size of a TIFF's pixel, from OME-XML, ImageJ's metadata or resolution tags."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

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
# Resolution tags are often made up, as 72 or 300 dots per inch; no micrograph has such pixels.
_CREDIBLE_UM = (0.02, 20.0)

Scale = tuple[tuple[float, float], str]


def find_scale(file: TiffFile) -> Scale | None:
    """Micrometres per pixel along x and y, and where that stands; None where nothing is credible.

    Parameters
    ----------
    file
        Opened by tifffile.
    """
    found = _from_ome(file.ome_metadata) if file.is_ome else None
    return found or _from_tags(file)


def _from_ome(xml: str | None) -> Scale | None:
    try:
        root = ElementTree.fromstring(xml or "")
    except ElementTree.ParseError:
        return None
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    x, y = (_ome_size(pixels, axis) for axis in "XY")
    return ((x, y), "OME-XML") if x and y else None


def _ome_size(pixels: ElementTree.Element, axis: str) -> float | None:
    unit = _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", ""))
    except ValueError:
        return None
    return size * unit if unit and np.isfinite(size) and size > 0 else None


def _from_tags(file: TiffFile) -> Scale | None:
    page = file.pages.first
    unit, source = _TAG_UNITS.get(int(page.resolutionunit)), "resolution tags"
    if file.is_imagej:
        unit, source = str((file.imagej_metadata or {}).get("unit")), "ImageJ metadata"
    x, y = (_per_unit(page, tag) for tag in ("XResolution", "YResolution"))
    if unit not in _UM or not x or not y:
        return None
    scale = (_UM[unit] / x, _UM[unit] / y)
    low, high = _CREDIBLE_UM
    return (scale, source) if low <= min(scale) and max(scale) <= high else None


def _per_unit(page: TiffPage, tag: str) -> float:
    """Pixels per unit of length; 0 where there is no such tag or it makes no sense."""
    numerator, denominator = page.tags.valueof(tag, default=(0, 1))
    return numerator / denominator if denominator else 0.0
