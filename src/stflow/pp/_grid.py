"""Public verb: spots for slides without any, on a lattice over the tissue or one an outline."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import (
    circles,
    get_pyramid,
    image_places,
    outlines_on_image,
    put,
    require_new,
    require_sdata,
    resolve_image,
    same_name,
    table_of_spots,
)
from stflow._sdata.places import (
    LATTICES,
    Lattice,
    cell_area,
    image_scale,
    marked_in_pixels,
    places_inside,
    spot_outlines,
    tissue_in_pixels,
)
from stflow._sdata.written import share_columns
from stflow._validation import require_choice, require_positive

PITCH_UM = 100.0
RADIUS = 0.275
MOST_SPOTS = 20_000_000


def grid(
    sdata: SpatialData,
    pitch_um: float = PITCH_UM,
    *,
    shapes_key: str | None = None,
    lattice: Lattice = "hex",
    tissue_key: str | None = _keys.TISSUE,
    exclude: str | None = None,
    max_covered: float = 0.25,
    image_key: str | None = None,
    image_mpp: float | None = None,
    key_added: str = _keys.SPOTS,
    table_key: str = _keys.TABLE,
    overwrite: bool = False,
    inplace: bool = True,
) -> gpd.GeoDataFrame | None:
    """Lay spots over the tissue, with a table that has no genes yet.

    They lie on a lattice or, with ``shapes_key``, where outlines of cells do: each outline is a
    spot, and its centroid is the spot's centre. One spot of a lattice lies in the centre of the
    image, whatever the pitch, so a lattice of half the pitch holds all places of the coarser one.
    Spots of a lattice are kept whose centre lies in the tissue.

    Parameters
    ----------
    sdata
        Holds the image and the tissue.
    pitch_um
        Distance between neighbouring spots in micrometres: 100 as on Visium, 200 as on
        first-generation arrays.
    shapes_key
        Polygons or circles in place of a lattice: cells that Cellpose, StarDist or QuPath
        segmented, as sopa, LazySlide and :func:`stflow.io.read_qupath` leave them in
        ``sdata.shapes``. None: a lattice.
    lattice
        ``"hex"`` as on Visium, or ``"square"``.
    tissue_key
        Shapes that outline the tissue. None: all of the image.
    exclude
        Shapes to keep off, such as those of :func:`stflow.pp.mask_artifacts`, or ones drawn by
        hand. None: none.
    max_covered
        How much of its area a spot may have on them, from 0 to 1; with more it is left out.
    image_key
        Name of the image. None: the only one.
    image_mpp
        Micrometres per pixel of the full-resolution image. None:
        ``sdata.attrs["slide_properties"]["mpp"]``.
    key_added
        Name of the spots to write.
    table_key
        Name of the table to write.
    overwrite
        Whether to replace spots and a table of these names.
    inplace
        Whether to write spots and table or return the spots.

    Returns
    -------
    None, or the spots, without a table, when not ``inplace``. Writes:

    ``shapes[key_added]``
        Circles in pixels of the image and with its transformations. Their radius is 0.275 of the
        pitch, as on Visium. Or a copy of the outlines, with their columns and their names as
        text.
    ``tables[table_key]``
        A row for each spot and no genes; the spot centres in pixels of the full-resolution image
        in ``.obsm["spatial"]``. With ``exclude``, how much of each spot lies on it in
        ``.obs[exclude]``, and on each kind where its column ``"kind"`` tells some.

    Raises
    ------
    KeyError
        There is no such image, no such tissue or no such shapes, or there are several images.
    ValueError
        A key is taken or no name of an element, an argument makes no sense, the image is not
        8-bit RGB, nothing tells its scale, the pitch is wider than the tissue or no spot lies in
        it, all lie on what is excluded, or there would be more than 20 million. The shapes are
        neither polygons nor circles, none has an area, two share a name, some lie outside the
        image or nothing relates them to it, or the pitch, lattice or tissue of a lattice is given
        with them.
    TypeError
        ``sdata`` is no SpatialData.

    Warns
    -----
    UserWarning
        Outlines that cross themselves are mended; those without an area, or with the centroid of
        another one, are left out. Holes stay.

    Notes
    -----
    A model knows the pitch that it was trained at. On a finer grid the nearest spots stand too
    close, and predictions show contrasts that are not there: on a section trained at 200 um and
    read at 50 um, mean Pearson fell from 0.66 to 0.63. Pass ``pitch_um=model.pitch_um`` to
    :func:`stflow.pp.neighbors`; :doc:`/concepts` says what can then be read off a fine grid.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.detect_tissue(sdata)
    >>> stf.pp.grid(sdata, 50, key_added="fine", table_key="fine_table")
    >>> sdata = stf.io.read_qupath("cells.geojson", stf.io.read_wsi("he.svs"))  # doctest: +SKIP
    >>> stf.pp.grid(sdata, shapes_key="cells")  # doctest: +SKIP
    """
    require_sdata(sdata)
    require_positive(pitch_um, name="pitch_um")
    require_choice(lattice, LATTICES, name="lattice")
    if not 0 <= max_covered <= 1:
        raise ValueError(f"`max_covered` must be a share from 0 to 1, not {max_covered!r}.")
    image = resolve_image(sdata, image_key)
    if inplace:
        _require_names(sdata, key_added, table_key, overwrite=overwrite)
    mpp = image_scale(sdata, image, image_mpp)
    if shapes_key is not None:
        _require_no_lattice(pitch_um, lattice, tissue_key)
        spots = outlines_on_image(sdata, shapes_key, image)
    else:
        spots = _lattice_of_spots(
            sdata, image, tissue_key, pitch_um=pitch_um, mpp=mpp, lattice=lattice
        )
    shares = None
    if exclude is not None:
        spots, shares = _spots_off(spots, sdata, exclude, image, max_covered)
    if not inplace:
        return spots
    points = spots.geometry.centroid
    centres = np.column_stack([points.x, points.y])
    table = table_of_spots(centres, spots.index.to_numpy(object), region=key_added)
    if shares is not None:
        table.obs[shares.columns] = shares
    put(sdata, key_added, "shapes", spots)
    put(sdata, table_key, "tables", table)
    return None


def _require_no_lattice(pitch_um: float, lattice: Lattice, tissue_key: str | None) -> None:
    """Raise ``ValueError`` where arguments ask for a lattice as well as for outlines."""
    usual = (pitch_um, lattice) == (PITCH_UM, "hex") and tissue_key in (None, _keys.TISSUE)
    if not usual:
        raise ValueError(
            "`pitch_um=`, `lattice=` and `tissue_key=` are of a lattice; with `shapes_key=`, each "
            "outline is a spot where it lies. Leave them out, or `shapes_key=`."
        )


def _lattice_of_spots(
    sdata: SpatialData,
    image: str,
    tissue_key: str | None,
    *,
    pitch_um: float,
    mpp: float,
    lattice: Lattice,
) -> gpd.GeoDataFrame:
    """Make circles on a lattice over the tissue, in pixels of the image."""
    size = get_pyramid(sdata, image)[0].size
    if tissue_key is None:
        area = shapely.box(0, 0, *size)
    else:
        area = tissue_in_pixels(sdata, tissue_key, image)
    centres = _centres(area, pitch_um, mpp, lattice=lattice, origin=np.array(size) / 2)
    names = np.array([f"spot_{i}" for i in range(len(centres))], dtype=object)
    places = image_places(sdata, image)
    return circles(centres, RADIUS * pitch_um / mpp, names, transformations=places)


def _spots_off(
    spots: gpd.GeoDataFrame, sdata: SpatialData, exclude: str, image: str, max_covered: float
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Leave out spots that lie on what is excluded; and say how much of the others does."""
    cover = marked_in_pixels(sdata, exclude, image, what="exclude")
    shares = share_columns(spot_outlines(spots), exclude, cover, spots.index)
    free = shares[exclude].to_numpy() <= max_covered
    if not free.any():
        raise ValueError(
            f"All {len(spots)} spots lie on shapes {exclude!r}, for `exclude=`, with more than "
            f"{max_covered:g} of their area. Pass a larger `max_covered=`, or other shapes."
        )
    return spots[free], shares[free]


def _require_names(sdata: SpatialData, key_added: str, table_key: str, *, overwrite: bool) -> None:
    """Raise unless spots and table can be written under their names."""
    require_new(sdata, key_added, "shapes", overwrite=overwrite, word="key_added")
    require_new(sdata, table_key, "tables", overwrite=overwrite, word="table_key")
    if same_name(key_added, table_key):
        raise ValueError(
            f"The spots, `key_added={key_added!r}`, and the table, `table_key={table_key!r}`, need "
            "two names, not told apart by case alone."
        )


def _centres(
    area: shapely.Geometry, pitch_um: float, mpp: float, *, lattice: Lattice, origin: np.ndarray
) -> np.ndarray:
    """Spot centres in pixels, shape (N, 2); refuse too few and far too many."""
    pitch = pitch_um / mpp
    expected = area.area / cell_area(pitch, lattice)
    if expected > MOST_SPOTS:
        raise ValueError(
            f"A lattice of {pitch_um:g} um would lay {expected:,.0f} spots on the tissue, more "
            f"than {MOST_SPOTS:,}. Pass a larger `pitch_um=`, or check `image_mpp=`."
        )
    centres = places_inside(area, pitch, lattice=lattice, origin=origin)
    left, top, right, bottom = area.bounds
    width, height = right - left, bottom - top
    if len(centres) == 0 or pitch > max(width, height):
        raise ValueError(
            f"A lattice of {pitch_um:g} um is too coarse for the tissue, which takes "
            f"{area.area * mpp**2:,.0f} um2 in a box of {width * mpp:,.0f} x {height * mpp:,.0f} "
            f"um: {len(centres)} places lie in it. Pass a smaller `pitch_um=`, or check "
            "`image_mpp=`."
        )
    return centres
