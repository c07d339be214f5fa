"""Which coordinate system, and where points land in it."""

from __future__ import annotations

import numpy as np
import pytest
from spatialdata.transformations import Affine, Identity, Scale

from stflow._sdata._systems import choose_system, matrix_of, moved, place_in, shared_systems


@pytest.mark.parametrize(
    ("shared", "wanted", "chosen"),
    [
        (["a", "global"], "global", "global"),
        (["a", "b"], "global", "a"),
        (["a", "b"], "b", "b"),
        (["a", "b"], "c", "c"),
        ([], "global", "global"),
    ],
)
def test_only_the_default_gives_way(shared: list[str], wanted: str, chosen: str):
    assert choose_system(shared, wanted) == chosen


def test_what_all_share_in_the_order_of_the_first():
    first, second = ({name: Identity() for name in names} for names in ("cab", "bdc"))
    assert shared_systems(first, second) == ["c", "b"]
    assert shared_systems(first) == ["c", "a", "b"]
    assert shared_systems(first, {}) == []


def test_a_system_that_an_element_is_not_in():
    places = {"mm": Scale([2, 2], ("x", "y"))}
    assert place_in(places, "mm", "he") is places["mm"]
    with pytest.raises(KeyError, match=r"No coordinate system of 'he' 'um'; available: 'mm'.*Name"):
        place_in(places, "um", "he")


def test_points_are_turned_scaled_and_shifted():
    turn = Affine([[0, -2, 9], [2, 0, 1], [0, 0, 1]], ("x", "y"), ("x", "y"))
    found = moved(np.array([[1.0, 0.0], [0.0, 3.0]]), matrix_of(turn))
    np.testing.assert_array_equal(found, [[9, 3], [3, 1]])
