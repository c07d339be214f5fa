"""Boundary: the outlines of spots, whole, in pixels of their image."""

from __future__ import annotations

import numpy as np
import shapely
from spatialdata import SpatialData

from stflow._sdata._mended import made_whole
from stflow._sdata.places._marked import shapes_in_pixels
from stflow._sdata.places._placed import PlacedSpots
from stflow._validation import listing, warn

LEAST_PX2 = 1e-3


def whole_outlines(sdata: SpatialData, place: PlacedSpots) -> np.ndarray:
    """Polygons of the N spots of a region in full-resolution pixels of their image, shape (N,).

    Circles become polygons of 32 corners. Errors are those of `shapes_in_pixels`, too.

    Raises
    ------
    ValueError
        The spots are labels, or some have no area.

    Warns
    -----
    UserWarning
        Some cross themselves and are mended.
    """
    name, instances = place.region.name, place.region.instances
    if name in sdata.labels:
        raise ValueError(
            f"`outlines=` reads shapes, but {name!r} are labels. Make polygons of them with "
            f"`spatialdata.to_polygons(sdata[{name!r}])`, and relate the table to these with "
            "`sdata.set_table_annotates_spatialelement`."
        )
    spots = shapely.force_2d(shapes_in_pixels(sdata, name, instances, place.image_key))
    broken = ~shapely.is_valid(spots)
    spots[broken] = made_whole(spots[broken])
    flat = ~(shapely.area(spots) >= LEAST_PX2)
    if flat.any():
        raise ValueError(
            f"{flat.sum()} of {len(spots)} shapes {name!r} have no area, so that there is nothing "
            f"to read in their outlines: {listing(instances[flat], limit=3)}. Remove them from the "
            "table, or leave out `outlines=`."
        )
    if broken.any():
        told = listing(instances[broken], limit=3)
        warn(f"{broken.sum()} of {len(spots)} shapes {name!r} cross themselves, mended: {told}.")
    return spots
