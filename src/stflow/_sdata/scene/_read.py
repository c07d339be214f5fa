"""Boundary: which image, spots and tissue a plot shows, read into one plane."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from geopandas import GeoDataFrame
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._annotated import annotated_shapes, element_shapes
from stflow._sdata._images import image_levels, resolve_image
from stflow._sdata._systems import choose_system, place_in, places_of, shared_systems
from stflow._sdata._tables import get_region, get_regions, get_table, require_element
from stflow._sdata.places import image_scale, spots_on_image
from stflow._sdata.scene._stage import Stage, in_scene, outlines
from stflow._validation import listing, require_key, warn


def find_spots(
    sdata: SpatialData, table_key: str, shapes_key: str | None, tissue_key: str | None
) -> tuple[AnnData | None, str | None]:
    """Return the table and what to draw of it, or no table and the shapes to draw without one.

    Raises
    ------
    KeyError
        There is no such table, and several shapes, or none, to choose from.
    """
    named = shapes_key in sdata.shapes
    if table_key in sdata.tables or (table_key != _keys.TABLE and not named):
        table = get_table(sdata, table_key)
        if not named or shapes_key in [region.name for region in get_regions(table)]:
            return table, shapes_key
    if shapes_key is not None:
        return None, shapes_key
    shapes = [name for name in sdata.shapes if name != tissue_key]
    if len(shapes) != 1:
        raise KeyError(
            f"No table {table_key!r} says which shapes are spots. Lay some with "
            f"`stf.pp.grid(sdata)`, or pass `shapes_key=`, one of {listing(shapes)}."
        )
    return None, shapes[0]


def read_stage(
    sdata: SpatialData,
    table: AnnData | None,
    *,
    image_key: str | None,
    image_mpp: float | None,
    shapes_key: str | None,
    coordinate_system: str,
) -> Stage:
    """Find an image and the spots that lie on it.

    Without a table, ``shapes_key`` names them; with one, None is the only element that it
    annotates.

    Raises
    ------
    KeyError
        The image, the spots or their place in the coordinate system are missing, or there are
        several to choose from.
    ValueError
        The table annotates no element, or two spots share a name.

    Warns
    -----
    UserWarning
        Nothing tells the scale.
    """
    if table is None:
        name, rows = str(shapes_key), np.empty(0, dtype=int)
        spots = element_shapes(sdata, name).copy()
    else:
        region = get_region(table, shapes_key)
        require_element(region)
        name, rows = region.name, region.rows
        spots = annotated_shapes(sdata, name, region.instances).copy()
    image_key = resolve_image(sdata, image_key, region=name)
    image = sdata.images[image_key]
    places = places_of(spots)
    system = choose_system(shared_systems(places, places_of(image)), coordinate_system)
    place_in(places_of(image), system, image_key)
    try:
        if table is None:
            mpp = image_scale(sdata, image_key, image_mpp)
        else:
            mpp = spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp).mpp
    except ValueError as error:
        warn(f"No scale bar. {error}")
        mpp = None
    finest = image_levels(sdata, image_key)[0].sizes
    return Stage(
        image_key=image_key,
        image=image,
        size_px=(finest["x"], finest["y"]),
        system=system,
        spots=in_scene(spots, place_in(places, system, name)),
        rows=rows,
        obs=pd.DataFrame() if table is None else table.obs.iloc[rows],
        mpp=mpp,
    )


def read_tissue(sdata: SpatialData, tissue_key: str | None, system: str) -> GeoDataFrame | None:
    """Return the tissue's outlines, in units of a coordinate system; None where there are none.

    Raises
    ------
    KeyError
        Tissue of another name than the usual is missing, or not in the coordinate system.
    """
    usual = tissue_key == _keys.TISSUE
    if tissue_key is None or (usual and tissue_key not in sdata.shapes):
        return None
    require_key(tissue_key, sdata.shapes, what="tissue in shapes")
    tissue = sdata.shapes[tissue_key]
    if usual and system not in places_of(tissue):
        return None
    return outlines(in_scene(tissue, place_in(places_of(tissue), system, tissue_key)))
