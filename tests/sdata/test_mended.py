"""Polygons that cross themselves: made whole, with the centroid of what they cover."""

from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from stflow._sdata._mended import centroids, made_whole

CORNERS = st.lists(st.tuples(*[st.integers(0, 12)] * 2), min_size=4, max_size=7, unique=True)
RING = shapely.box(0, 0, 9, 9).difference(shapely.box(1, 1, 3, 4))


@given(CORNERS)
def test_the_centroid_lies_in_the_hull_and_moves_along(corners: list):
    shape = np.array([shapely.Polygon(corners)])
    whole = made_whole(shape)
    assert shapely.is_valid(whole).all()
    assert set(shapely.get_type_id(whole)) <= {3, 6}  # polygons of one or several pieces
    centre = centroids(shape)
    if not shapely.is_empty(whole[0]) and whole[0].area > 0:
        hull = shape[0].convex_hull.buffer(1e-9)
        assert shapely.contains_xy(hull, *centre[0])
        step = np.array([30.0, 5.0])
        moved = shapely.transform(shape, lambda points: points + step)
        np.testing.assert_allclose(centroids(moved), centre + step)
        if not shapely.is_valid(shape[0]):
            return
        np.testing.assert_allclose(centre[0], shape[0].centroid.coords[0])


def test_holes_stay_and_what_is_empty_has_no_centroid():
    assert made_whole(np.array([RING]))[0].equals(RING)
    found = centroids(np.array([RING, shapely.Polygon(), None, shapely.Point(3, 4)]))
    np.testing.assert_allclose(found[0], RING.centroid.coords[0])
    assert np.isnan(found[1:3]).all()
    np.testing.assert_array_equal(found[3], [3, 4])
