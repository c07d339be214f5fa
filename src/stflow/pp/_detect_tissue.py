"""Public verb: the outline of the tissue, through squidpy."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import geopandas as gpd
import numpy as np
from scipy import ndimage
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import (
    get_pyramid,
    image_places,
    picture,
    put,
    require_new,
    require_sdata,
    resolve_image,
)
from stflow._sdata.places import image_scale, tissue_element
from stflow._validation import require_positive
from stflow.images import Level, coarsen

CONTRAST = 10
CORNER = 0.02
MOST_SEEDS = 0.1
WIDEST_KERNEL_PX = 4.0
ALL = 10**9


def detect_tissue(
    sdata: SpatialData,
    *,
    mpp: float = 8.0,
    min_area_um2: float = 20_000.0,
    min_hole_um2: float = 20_000.0,
    image_key: str | None = None,
    image_mpp: float | None = None,
    key_added: str = _keys.TISSUE,
    overwrite: bool = False,
    inplace: bool = True,
) -> gpd.GeoDataFrame | None:
    """Outline the tissue on an H&E image.

    The image is reduced to 2 megapixels at most, whatever its size, from a coarse level where it
    has one. There squidpy learns the difference between glass, which it takes the four corners
    for, and whatever differs most from it. Pieces that hardly differ from the corners are dropped.

    Parameters
    ----------
    sdata
        Holds the image.
    mpp
        Micrometres per pixel at which to look for tissue, or up to a quarter more. Coarser where
        the image would have over 2 megapixels, finer where it would have under 250,000.
    min_area_um2
        Drop pieces of tissue smaller than this, in square micrometres.
    min_hole_um2
        Fill holes smaller than this.
    image_key
        Name of the image. None: the only one.
    image_mpp
        Micrometres per pixel of the full-resolution image. None:
        ``sdata.attrs["slide_properties"]["mpp"]``.
    key_added
        Name of the shapes to write.
    overwrite
        Whether ``key_added`` may replace shapes of that name.
    inplace
        Whether to write the tissue or return it.

    Returns
    -------
    None, or the tissue when not ``inplace``. Writes:

    ``shapes[key_added]``
        Polygons, largest first, in pixels of the image and with its transformations; their area
        in the column ``"area_um2"``.

    Raises
    ------
    KeyError
        There is no such image, or there are several.
    ValueError
        The key is taken, an argument makes no sense, the image is not 8-bit RGB, nothing tells
        its scale, or no tissue is found.
    TypeError
        ``sdata`` is no SpatialData.

    Notes
    -----
    The corners of the image must be glass. Where tissue fills them, or the image has black
    borders, draw the outline by hand, or cover all of the image:
    ``stf.pp.grid(tissue_key=None)``. The outline keeps a margin of a few pixels of glass.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.detect_tissue(sdata)
    """
    require_sdata(sdata)
    sizes = {"mpp": mpp, "min_area_um2": min_area_um2, "min_hole_um2": min_hole_um2}
    for name, value in sizes.items():
        require_positive(value, name=name)
    image = resolve_image(sdata, image_key)
    if inplace:
        require_new(sdata, key_added, "shapes", overwrite=overwrite, word="key_added")
    levels = get_pyramid(sdata, image)
    scale = image_scale(sdata, image, image_mpp)
    coarse = coarsen(levels, mpp / scale)
    mask = _find(coarse, scale**2, min_area_um2=min_area_um2, min_hole_um2=min_hole_um2)
    if not mask.any():
        raise ValueError(
            f"No tissue found on image {image!r}: no piece of {min_area_um2:g} um2 or more differs "
            "from the four corners, which are taken for glass. Try a smaller `min_area_um2=`, "
            "another `mpp=`, check `image_mpp=`, or cover all of the image with "
            "`stf.pp.grid(sdata, tissue_key=None)`."
        )
    places = image_places(sdata, image)
    tissue = tissue_element(mask, coarse.scale, mpp=scale, transformations=places)
    if not inplace:
        return tissue
    put(sdata, key_added, "shapes", tissue)
    return None


def _find(coarse: Level, um2: float, *, min_area_um2: float, min_hole_um2: float) -> np.ndarray:
    """Return the number of the piece that each pixel belongs to, 0 for none.

    ``um2`` is the area of a full-resolution pixel.
    """
    from squidpy.experimental.im import BackgroundDetectionParams, detect_tissue

    pixels = np.asarray(coarse.data)
    area = um2 * float(np.prod(coarse.scale)) * pixels[0].size
    contrast = _contrast(pixels)
    seeds = min(MOST_SEEDS, (contrast >= CONTRAST).mean() / 2)
    with _quiet():
        mask = detect_tissue(
            picture(pixels),
            _keys.IMAGE,
            method="weka",
            method_params={
                "sigma_max": WIDEST_KERNEL_PX,
                "pseudo_tissue_percentile": 100 * (1 - seeds),  # else glass is taken for tissue
            },
            background_detection_params=BackgroundDetectionParams(corner_size_pct=CORNER),
            min_specimen_area_frac=min(1.0, min_area_um2 / area),
            n_samples=ALL,  # else squidpy keeps the pieces on one side of a threshold
            close_holes_smaller_than_frac=min(1.0, min_hole_um2 / area),
            inplace=False,
        )
    pale = ndimage.mean(contrast, mask, np.arange(1, mask.max() + 1)) < CONTRAST
    return np.where(np.concatenate([[True], pale])[mask], 0, mask)


def _contrast(pixels: np.ndarray) -> np.ndarray:
    """Difference from the colour of the corners, in the channel where it is largest."""
    height, width = (max(1, int(CORNER * side)) for side in pixels.shape[1:])
    corners = [pixels[:, y, x] for y in _ends(height) for x in _ends(width)]
    glass = np.median(np.concatenate([each.reshape(3, -1) for each in corners], axis=1), axis=1)
    return np.abs(pixels - glass[:, None, None]).max(axis=0)


def _ends(length: int) -> tuple[slice, slice]:
    return slice(None, length), slice(-length, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the progress bar, messages and warnings of squidpy's own calls."""
    logger = logging.getLogger("spatialdata._logging")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
