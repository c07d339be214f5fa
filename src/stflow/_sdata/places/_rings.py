"""Boundary: the outlines of spots as arrays of corners, in pixels of their image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import shapely
from spatialdata import SpatialData

from stflow._sdata._mended import made_whole
from stflow._sdata.places._marked import shapes_in_pixels
from stflow._sdata.places._placed import PlacedSpots
from stflow._validation import listing, warn

LEAST_PX2 = 1e-3


class Rings(NamedTuple):
    """Outlines of N spots.

    Parameters
    ----------
    corners
        Ring after ring, of which each ends where it began, x then y, shape (M, 2). Along outer
        rings y grows on the left of what they enclose, along holes on the right.
    joins
        Whether an edge leads from a corner to the next one, shape (M,).
    starts
        First corner of each spot, and M, shape (N + 1,).
    """

    corners: np.ndarray
    joins: np.ndarray
    starts: np.ndarray


def spot_rings(sdata: SpatialData, place: PlacedSpots) -> Rings:
    """Outlines of the spots of a region in full-resolution pixels of their image.

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
    return _rings(shapely.orient_polygons(spots, exterior_cw=True))


def _rings(spots: np.ndarray) -> Rings:
    pieces, spot = shapely.get_parts(spots, return_index=True)
    rings, piece = shapely.get_rings(pieces, return_index=True)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    joins = np.append(ring[1:] == ring[:-1], False)
    starts = np.searchsorted(spot[piece[ring]], np.arange(len(spots) + 1))
    return Rings(corners, joins, starts)
