"""Polygons of GeoJSON: many at once are what they are one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from stflow.io._geojson import polygons_of

SQUARE = shapely.box(0, 0, 3, 4)
RING = shapely.box(0, 0, 9, 9).difference(shapely.box(1, 1, 3, 4))
OTHERS = [RING, shapely.MultiPolygon([SQUARE, shapely.box(5, 5, 6, 7)]), shapely.Polygon()]
NONE = [{"geometry": None}, {}, {"geometry": shapely.geometry.mapping(shapely.Point(1, 2))}]


def held(shape: shapely.Geometry) -> dict:
    return {"geometry": shapely.geometry.mapping(shape)}


@given(st.lists(st.sampled_from([SQUARE, SQUARE.buffer(1), *OTHERS, *NONE]), max_size=9))
def test_each_is_what_it_would_be_alone(given_ones: list):
    found = polygons_of([each if isinstance(each, dict) else held(each) for each in given_ones])
    assert found.shape == (len(given_ones),)
    for outline, each in zip(found, given_ones, strict=True):
        assert outline is None if isinstance(each, dict) else outline.equals(each)


def test_a_third_coordinate_is_left_out():
    flat = polygons_of([held(shapely.force_3d(SQUARE, 7.0))])[0]
    assert flat.equals(SQUARE)
    assert not flat.has_z


@pytest.mark.parametrize(
    "ring", [[[0, 0], [1, 1]], [[0, 0], [1, "a"], [2, 2], [0, 0]], [1, 2, 3, 4]]
)
def test_a_damaged_one(ring: list):
    with pytest.raises((ValueError, IndexError, TypeError)):
        polygons_of([{"geometry": {"type": "Polygon", "coordinates": [ring]}}])
    assert np.all(polygons_of([held(SQUARE)])[0] == SQUARE)
