"""Public verb: pen, folds and blur on an H&E image."""

from __future__ import annotations

from collections.abc import Sequence

import geopandas as gpd
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import (
    get_pyramid,
    image_places,
    put,
    require_new,
    require_sdata,
    resolve_image,
)
from stflow._sdata.places import image_scale, marked_element, tissue_in_pixels
from stflow._sdata.written import require_new_shares, write_shares
from stflow._validation import require_choice, require_positive
from stflow.images import coarsen
from stflow.pp._artifacts import KINDS, find_artifacts
from stflow.pp._inside import inside


def mask_artifacts(
    sdata: SpatialData,
    *,
    kinds: Sequence[str] = KINDS,
    mpp: float = 8.0,
    min_area_um2: float = 20_000.0,
    tissue_key: str | None = _keys.TISSUE,
    image_key: str | None = None,
    image_mpp: float | None = None,
    table_key: str = _keys.TABLE,
    key_added: str = _keys.ARTIFACTS,
    overwrite: bool = False,
    inplace: bool = True,
) -> gpd.GeoDataFrame | None:
    """Mark pen strokes, folds and blur on an H&E image, and the spots that lie on them.

    Each is measured by what this slide's own tissue looks like:

    ``"pen"``
        A colour that no mixture of the slide's stains has, on tissue and beside it.
    ``"fold"``
        Tissue as dark as several layers of it.
    ``"blur"``
        Tissue that has lost four fifths of the fine detail that the slide's best tissue has: a
        Gaussian of 3 um, or more. A bubble is found where it blurs the tissue.

    Parameters
    ----------
    sdata
        Holds the image and the tissue.
    kinds
        What to look for.
    mpp
        Micrometres per pixel at which to look for pen and folds, or up to a quarter more. Coarser
        where the image would have over 2 megapixels. Blur is looked for at about 2 um a pixel,
        block by block.
    min_area_um2
        Leave out pieces smaller than this, in square micrometres, and fill holes as small.
    tissue_key
        Shapes that outline the tissue. None: all of the image.
    image_key
        Name of the image. None: the only one.
    image_mpp
        Micrometres per pixel of the full-resolution image. None:
        ``sdata.attrs["slide_properties"]["mpp"]``.
    table_key
        Name of the table whose spots are compared with what is found; there need be none.
    key_added
        Name of the shapes, and of the columns of ``.obs``.
    overwrite
        Whether to replace shapes and columns of that name.
    inplace
        Whether to write, or return the shapes.

    Returns
    -------
    None, or the shapes when not ``inplace``. Writes:

    ``shapes[key_added]``
        A row for each kind, with its name in the column ``"kind"``: polygons of one or several
        pieces, or an empty one where none was found, in pixels of the image and with its
        transformations; their area in ``"area_um2"``.
    ``tables[table_key].obs[key_added]``
        How much of each spot lies on any artifact, from 0 to 1; NaN where it lies on another
        image.
    ``tables[table_key].obs[key_added + "_pen"]``, ``"_fold"``, ``"_blur"``
        The same for each kind.

    Raises
    ------
    KeyError
        There is no such image or no such tissue, or there are several images.
    ValueError
        The key is taken, an argument makes no sense, ``kinds`` holds something else, the image is
        not 8-bit RGB, nothing tells its scale, or no pixel of it lies in the tissue.
    TypeError
        ``sdata`` is no SpatialData.

    Warns
    -----
    UserWarning
        The image has over 4 um a pixel, so that no blur is looked for.

    Notes
    -----
    Pens are compared with the tissue's own colour, so over half of it must be free of them; a
    faint blue one over dark haematoxylin is missed. Where all of a slide is out of focus nothing
    is marked. squidpy's ``qc_image`` has the same measure of detail,
    the variance of the Laplacian, by ranks: a tenth of any slide is marked there, however sharp.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.detect_tissue(sdata)
    >>> stf.pp.mask_artifacts(sdata)
    >>> stf.pp.grid(sdata, exclude="artifacts", key_added="clean", table_key="clean_table")
    """
    require_sdata(sdata)
    kinds = _require_kinds(kinds)
    require_positive(mpp, name="mpp")
    require_positive(min_area_um2, name="min_area_um2")
    image = resolve_image(sdata, image_key)
    if inplace:
        require_new(sdata, key_added, "shapes", overwrite=overwrite, word="key_added")
        require_new_shares(sdata, table_key, key_added, overwrite=overwrite)
    levels = get_pyramid(sdata, image)
    scale = image_scale(sdata, image, image_mpp)
    area = None if tissue_key is None else tissue_in_pixels(sdata, tissue_key, image)
    coarse = coarsen(levels, mpp / scale)
    tissue = inside(area, coarse, image)
    masks = find_artifacts(
        levels, coarse, tissue, kinds=kinds, mpp=scale, min_area_um2=min_area_um2
    )
    places = image_places(sdata, image)
    marked = marked_element(masks, coarse.scale, mpp=scale, transformations=places)
    if not inplace:
        return marked
    put(sdata, key_added, "shapes", marked)
    write_shares(sdata, table_key, key_added, image_key=image)
    return None


def _require_kinds(kinds: Sequence[str]) -> list[str]:
    """Raise ``ValueError`` unless some kinds are named, each of them known."""
    if isinstance(kinds, str):
        kinds = [kinds]
    for kind in kinds:
        require_choice(kind, KINDS, name="kinds")
    if not kinds:
        raise ValueError(f"`kinds` is empty; available: {', '.join(KINDS)}.")
    return list(dict.fromkeys(kinds))
