"""Pure values: what OME-XML, ImageJ and PerkinElmer say of the image that is the slide."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from stflow.images.files._tiff_series import size

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries


def ome_pixels(file: TiffFile, slide: TiffPageSeries) -> ElementTree.Element | None:
    """Return what OME-XML says of the image of the slide's size; None if it says nothing.

    Parameters
    ----------
    file
        Opened by tifffile.
    slide
        The image in it.
    """
    if not file.is_ome:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata or "")
    except ElementTree.ParseError:
        return None
    wanted = tuple(map(str, size(slide)))
    images = [node for node in root.iter() if node.tag.endswith("}Pixels")]
    fitting = [node for node in images if (node.get("SizeY"), node.get("SizeX")) == wanted]
    return next(iter(fitting), None)


def channel_names(file: TiffFile, slide: TiffPageSeries) -> list[str]:
    """Return the dye or the name of each channel, empty where there is neither.

    Arguments are those of `ome_pixels`.
    """
    pixels = ome_pixels(file, slide)
    if pixels is not None:
        return [_name(node) for node in pixels if node.tag.endswith("}Channel")]
    if file.is_qpi:
        return [_marker(page) for page in slide.pages]
    labels = (file.imagej_metadata or {}).get("Labels") if file.is_imagej else None
    return [str(label) for label in labels or ()]


def _marker(page: Any) -> str:
    """Name of a grey page of PerkinElmer's, which is a marker whatever it is called."""
    found = re.search(r"<Name>(.+?)</Name>", page.description)
    return found[1] if found else "a marker"


def _name(channel: ElementTree.Element) -> str:
    light = channel.get("EmissionWavelength")
    return channel.get("Fluor") or channel.get("Name") or (f"{light} nm" if light else "")
