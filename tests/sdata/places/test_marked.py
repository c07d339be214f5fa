"""How much of a spot is covered: against the whole polygon, and laws of it."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from stflow._sdata._build import PIXELS
from stflow._sdata.places import covered_shares, marked_element


def star(corners: int) -> shapely.Polygon:
    """A round shape with many corners and a hole."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    away = 60 + 20 * np.sin(7 * angles)
    ring = np.column_stack([100 + away * np.cos(angles), 100 + away * np.sin(angles)])
    return shapely.Polygon(ring, [shapely.Point(100, 100).buffer(20).exterior.coords])


@settings(max_examples=20, deadline=None)
@given(corners=st.integers(5, 3000), radius=st.floats(0.5, 40), seed=st.integers(0, 99))
def test_shares_are_those_of_the_whole_polygon(corners: int, radius: float, seed: int):
    cover = star(corners)
    places = np.random.default_rng(seed).uniform(0, 200, (50, 2))
    spots = shapely.buffer(shapely.points(places), radius)
    wanted = shapely.area(shapely.intersection(spots, cover)) / shapely.area(spots)
    assert covered_shares(spots, cover) == pytest.approx(wanted, abs=1e-9)


def test_nothing_covers_nothing_and_all_covers_all():
    spots = shapely.box([0, 10], [0, 10], [5, 15], [5, 15])
    assert covered_shares(spots, shapely.MultiPolygon()).tolist() == [0, 0]
    assert covered_shares(spots, shapely.box(-1, -1, 99, 99)).tolist() == [1, 1]
    assert covered_shares(np.array([shapely.Point(1, 1)]), spots[0]).tolist() == [0]
    assert covered_shares(spots[:0], spots[0]).tolist() == []


def test_a_row_for_each_kind():
    masks = {name: np.zeros((20, 30), dtype=bool) for name in ("some", "none")}
    masks["some"][5:10, 5:15] = masks["some"][12:14, 20:30] = True
    found = marked_element(masks, (2.0, 2.0), mpp=0.5, transformations=PIXELS)
    assert found["kind"].tolist() == ["some", "none"]
    assert found["area_um2"].tolist() == pytest.approx([70, 0], rel=0.2)
    assert found.geometry[0].geom_type == "MultiPolygon"
    assert found.geometry[1].is_empty
