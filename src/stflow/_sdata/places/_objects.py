"""Boundary: things on an image as polygons in its pixels, their nuclei, and what is known."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._annotated import annotated_shapes, element_shapes
from stflow._sdata._images import affine_to_image, resolve_image
from stflow._sdata._mended import made_whole
from stflow._sdata._outlines import are_circles, mend, require_on_image
from stflow._sdata._systems import (
    choose_system,
    image_places,
    moved,
    places_of,
    shared_systems,
)
from stflow._sdata._tables import (
    Region,
    get_region,
    get_regions,
    get_table,
    require_element,
    require_sdata,
)
from stflow._sdata.places._marked import spot_outlines
from stflow._sdata.places._placed import image_scale
from stflow._validation import listing, require_key, require_mpp, require_unique, warn

SKEW = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Things of one element that lie on an image.

    Parameters
    ----------
    element
        Name of the element.
    names
        What they are called in it, shape (N,).
    outlines
        Polygons in full-resolution pixels, shape (N,).
    nuclei
        Polygons of their nuclei, None where there is none, shape (N,).
    ellipses
        Whether the outlines are ellipses, each as its bounding box says.
    columns
        What else the element tells of them, N rows.
    rows
        The rows of the table that they are, shape (N,); None where it does not annotate them.
    """

    element: str
    names: np.ndarray
    outlines: np.ndarray
    nuclei: np.ndarray
    ellipses: bool
    columns: pd.DataFrame
    rows: np.ndarray | None


def find_annotated(
    sdata: SpatialData, table_key: str, shapes_key: str | None
) -> tuple[AnnData, Region] | None:
    """Return a table and its region called ``shapes_key``, or the only one.

    None where ``shapes_key`` names shapes that the table does not annotate, or there is no table.

    Raises
    ------
    KeyError
        There is no such table or element, or several and no name.
    TypeError
        ``sdata`` is no SpatialData.
    ValueError
        The table annotates no element.
    """
    require_sdata(sdata)
    alone = shapes_key in sdata.shapes
    if alone and table_key == _keys.TABLE and table_key not in sdata.tables:
        return None
    table = get_table(sdata, table_key)
    if alone and shapes_key not in [region.name for region in get_regions(table)]:
        return None
    region = get_region(table, shapes_key)
    require_element(region)
    return table, region


def read_objects(
    sdata: SpatialData,
    element: str,
    region: Region | None,
    *,
    image_key: str | None,
    coordinate_system: str,
    mpp: float | None,
    nuclei_key: str,
    decimals: int,
) -> Objects:
    """Bring shapes to pixels of an image.

    Parameters
    ----------
    sdata, element
        The slide, and the name of the shapes or labels.
    region
        Which of them, in the order of its rows; None: all.
    image_key, coordinate_system
        Name of the image, None for the only one, and where the two are related.
    mpp
        Micrometres per pixel of what the pixels are of, where the image is a copy of it at another
        scale.
    nuclei_key
        Name of the shapes that hold nuclei by the names of their cells, where there are some.
    decimals
        To how many coordinates are rounded.

    Raises
    ------
    KeyError
        The image, the shapes, the coordinate system or some spots are missing.
    ValueError
        Shapes are neither polygons nor circles, none has an area, two share a name, some lie
        outside the image, they share no coordinate system with it, or nothing tells its scale.

    Warns
    -----
    UserWarning
        Some cross themselves and are mended; some have no area and are left out.
    """
    image = resolve_image(sdata, image_key, region=element)
    scale = 1.0 if mpp is None else _scale_to(mpp, sdata, image)
    found = element_shapes(sdata, element)
    if region is not None:
        found = annotated_shapes(sdata, element, region.instances)
    what = f"shapes {element!r}"
    names = np.array([str(name) for name in found.index], dtype=object)
    require_unique(list(names), what=f"names in {what}")
    matrix = affine_to_image(sdata, element, image, coordinate_system=coordinate_system)
    circles = are_circles(found, what=what)
    pixels = shapely.transform(spot_outlines(found), lambda points: moved(points, matrix))
    pixels = pixels if circles else mend(pixels, names.tolist(), what=what)
    outlines = _rounded(pixels, scale, decimals)
    kept = _with_area(outlines, names, what=what)
    frame = gpd.GeoDataFrame(geometry=pixels[kept], index=names[kept])
    require_on_image(frame, sdata, image, what=what)
    nuclei = np.full(len(kept), None, dtype=object)
    if not circles and nuclei_key != element and nuclei_key in sdata.shapes:
        nuclei = _nuclei(sdata, nuclei_key, image, frame, coordinate_system=coordinate_system)
        nuclei = _rounded(nuclei, scale, decimals)
    return Objects(
        element=element,
        names=names[kept],
        outlines=outlines[kept],
        nuclei=nuclei,
        ellipses=circles and _keeps_ellipses(matrix),
        columns=pd.DataFrame(found.drop(columns=found.geometry.name)).iloc[kept],
        rows=None if region is None else region.rows[kept],
    )


def _scale_to(mpp: float, sdata: SpatialData, image_key: str) -> float:
    """Pixels of ``mpp`` micrometres along a full-resolution pixel of an image."""
    require_mpp(mpp, name="mpp")
    return image_scale(sdata, image_key) / mpp


def _rounded(pixels: np.ndarray, scale: float, decimals: int) -> np.ndarray:
    """Scale and round outlines; those that cross themselves then, by a little, are made whole."""
    found = shapely.transform(pixels, lambda points: np.round(points * scale, decimals))
    broken = ~shapely.is_missing(found) & ~shapely.is_valid(found)
    found[broken] = made_whole(found[broken])
    return found


def _with_area(outlines: np.ndarray, names: np.ndarray, *, what: str) -> np.ndarray:
    """Positions of outlines that have an area, of which there must be some."""
    flat = ~(shapely.area(outlines) > 0)
    if flat.any():
        text = f"{flat.sum()} of {len(flat)} {what} have no area"
        told = listing(names[flat], limit=3)
        if flat.all():
            raise ValueError(f"{text}: {told}. There is nothing to draw.")
        warn(f"{text} and are left out: {told}.")
    return np.flatnonzero(~flat)


def _nuclei(
    sdata: SpatialData,
    nuclei_key: str,
    image_key: str,
    cells: gpd.GeoDataFrame,
    *,
    coordinate_system: str,
) -> np.ndarray:
    """Nuclei of cells by their names, in pixels, None where there is none that lies in the cell."""
    nuclei = sdata.shapes[nuclei_key]
    shared = shared_systems(places_of(nuclei), image_places(sdata, image_key))
    if choose_system(shared, coordinate_system) not in shared:  # they are of another slide
        return np.full(len(cells), None, dtype=object)
    nuclei = nuclei.set_axis([str(name) for name in nuclei.index])
    nuclei = nuclei[~nuclei.index.duplicated()].reindex(cells.index)
    matrix = affine_to_image(sdata, nuclei_key, image_key, coordinate_system=coordinate_system)
    found = shapely.transform(spot_outlines(nuclei), lambda points: moved(points, matrix))
    found[~shapely.intersects(found, cells.geometry.to_numpy())] = None
    return found


def _keeps_ellipses(matrix: np.ndarray) -> bool:
    """Whether a matrix makes ellipses whose axes are those of the image of all circles."""
    gram = matrix[:2, :2] @ matrix[:2, :2].T
    return bool(abs(gram[0, 1]) <= SKEW * np.trace(gram))


def read_classes(
    objects: Objects, table: AnnData | None, column: str | None, *, usual: str
) -> list[str | None]:
    """Return the class of each object, None where there is none.

    Parameters
    ----------
    objects, table
        The N objects, and the table whose rows they are.
    column
        Column of ``.obs`` or of the element that holds classes. None: ``usual``, a column of the
        element, where there is one.

    Raises
    ------
    KeyError
        There is no such column.
    """
    held = objects.columns
    if column is None:
        if usual not in held:
            return [None] * len(objects.names)
        found = held[usual]
    elif table is not None and column in table.obs:
        found = table.obs[column].iloc[objects.rows]
    else:
        available = [*([] if table is None else table.obs.columns), *held.columns]
        require_key(column, available, what="column for `classification`")
        found = held[column]
    return [None if lost else str(each) for each, lost in zip(found, found.isna(), strict=True)]
