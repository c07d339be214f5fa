"""Public verb: a slide image alone."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import image_element
from stflow._validation import CREDIBLE_MPP, require_mpp
from stflow.images.files import ImageFile, mean_scale, open_image


def read_wsi(path: str | PathLike[str], *, image_mpp: float | None = None) -> SpatialData:
    """Read a slide image without reading its pixels.

    Scanner files (.svs, .ndpi, .mrxs, .scn, .bif, .svslide, .vms, .vmu, .czi, .dcm, and TIFFs
    that a scanner wrote) are read by OpenSlide, which the extra ``stflow-spatial[wsi]`` installs;
    OME-TIFF, pyramidal and plain TIFF (.tif, .tiff, .btf, .tf8, .qptiff), and scanners' TIFFs that
    OpenSlide refuses, by tifffile; .jpg and .png by Pillow. Of several images in a TIFF the
    largest is the slide. Of DICOM, one file of a slide is enough; the others lie beside it. What
    an orientation tag turns is read upright. Pixels are decoded when they are first used, window
    by window; a JPEG or PNG as a whole. The file must stay where it is.

    Parameters
    ----------
    path
        The file: 8-bit RGB, or RGBA, whose transparent parts become white. A fourth sample that
        a TIFF does not call alpha is left out. Three channels in pages of their own are red, green
        and blue unless they bear names of dyes or markers.
    image_mpp
        Micrometres per pixel, whatever the file says. None: what the file says. What no scanner
        has, below 0.05 or above 20 as in 72 dots per inch, says nothing.

    Returns
    -------
    SpatialData in pixels of the full-resolution image:

    ``images["he"]``
        Lazy multiscale image: the levels of the file, and below them averages of 2 x 2 pixels,
        until the coarsest has at most 2,048 pixels a side.
    ``attrs["slide_properties"]``
        ``mpp``, ``mpp_source`` (where it was found), ``source`` (name of the file), ``format``,
        ``shape`` (height and width), and the ``magnification`` of the objective where it is known.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file.
    ImportError
        The file needs OpenSlide, which is not installed.
    ValueError
        The format is not supported; the file is damaged or not 8-bit RGB (greyscale, 16 bits,
        fluorescence); it holds two images of the largest size; nothing credible tells its scale,
        its pixels are not square, or ``image_mpp`` is no scanner's.

    Warns
    -----
    UserWarning
        A fourth sample is left out.

    See Also
    --------
    read_visium, read_visium_hd, read_xenium : slides with measured genes.

    Examples
    --------
    >>> sdata = stf.io.read_wsi("slide.svs")  # doctest: +SKIP
    >>> sdata = stf.io.read_wsi("scan.jpg", image_mpp=0.5)  # doctest: +SKIP
    """
    path = Path(path)
    if image_mpp is not None:
        require_mpp(image_mpp)
    file = open_image(path)
    if image_mpp is not None:
        scale, source = float(image_mpp), "argument"
    elif file.scale_um is not None:
        scale, source = mean_scale(file.scale_um, name=f"Image {path}"), file.scale_source
    else:
        raise ValueError(
            f"Image {path} does not say how many micrometres a pixel measures{_doubts(file)}. Pass "
            "`image_mpp=`; about 0.25 for a scan at 40x, 0.5 at 20x."
        )
    properties = {"mpp": scale, "mpp_source": source, **provenance(file, path)}
    return SpatialData(
        images={_keys.IMAGE: image_element(file.levels)},
        attrs={_keys.SLIDE_PROPERTIES: properties},
    )


def _doubts(file: ImageFile) -> str:
    """Tell what the file says of its scale and no scanner has."""
    if not file.doubtful_scale:
        return ""
    low, high = CREDIBLE_MPP
    return f" ({file.doubtful_scale}; {low:g} to {high:g} is believed)"


def provenance(file: ImageFile, path: Path) -> dict[str, Any]:
    """Tell where an image came from, as plain values.

    Parameters
    ----------
    file, path
        The opened file, and where it lies.
    """
    kept: dict[str, Any] = {
        "source": path.name,
        "format": file.format,
        "shape": [int(side) for side in file.levels[0].shape[1:]],
    }
    if file.magnification is not None:
        kept["magnification"] = file.magnification
    return kept
