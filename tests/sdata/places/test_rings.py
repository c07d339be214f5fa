"""Outlines of spots as arrays: outer rings one way, holes the other, in pixels of the image."""

from __future__ import annotations

import numpy as np
import shapely

from stflow._sdata.places._rings import _rings


def signed(corners: np.ndarray, joins: np.ndarray) -> float:
    """Area by x dy along all rings, from left to right of their edges."""
    at = np.flatnonzero(joins)
    begin, end = corners[at], corners[at + 1]
    return float(-((begin[:, 0] + end[:, 0]) / 2 * (end[:, 1] - begin[:, 1])).sum())


def test_rings_add_up_to_the_area_of_what_they_enclose() -> None:
    ring = shapely.difference(shapely.box(0, 0, 10, 10), shapely.box(2, 2, 4, 4))
    two = shapely.union(shapely.box(20, 0, 21, 1), ring)
    turned = shapely.reverse(shapely.box(5, 5, 6, 8))
    shapes = np.array([ring, two, turned])
    rings = _rings(shapely.orient_polygons(shapes, exterior_cw=True))
    assert rings.starts[0] == 0
    assert rings.starts[-1] == len(rings.corners) == len(rings.joins)
    for first, last, area in zip(
        rings.starts, rings.starts[1:], shapely.area(shapes), strict=False
    ):
        part = slice(first, last)
        assert abs(signed(rings.corners[part], rings.joins[part]) - area) < 1e-9
        assert not rings.joins[part][-1]
    assert (~rings.joins).sum() == 2 + 3 + 1
    backwards = _rings(shapely.orient_polygons(shapes, exterior_cw=False))
    assert signed(backwards.corners, backwards.joins) < 0
