"""What is predicted: means over the places around a spot, known by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow.bench._target import Target, read_places, smooth

SQUARE = np.argwhere(np.ones((3, 3))).astype(float)
ALL = np.ones(9, dtype=bool)


def test_corners_have_four_edges_six_and_the_middle_nine():
    values = np.arange(9.0)[:, None] ** 2
    found = smooth(values, SQUARE, ALL)[:, 0]
    assert found[4] == pytest.approx(values.mean())
    assert found[0] == pytest.approx(np.mean([0, 1, 9, 16]))
    assert found[1] == pytest.approx(np.mean([0, 1, 4, 9, 16, 25]))
    assert found[8] == pytest.approx(np.mean([16, 25, 49, 64]))


def test_places_without_a_spot_count_for_nothing():
    values = np.arange(9.0)[:, None]
    kept = np.array([0, 4, 8])
    found = smooth(values[kept], SQUARE[kept], ALL[kept])[:, 0]
    np.testing.assert_allclose(found, [2, 4, 6])


def test_two_places_away_is_no_neighbour():
    values = np.arange(9.0)[:, None]
    np.testing.assert_array_equal(smooth(values, SQUARE * 2, ALL), values)


def test_spots_that_measured_too_little_enter_no_mean():
    values = np.array([[1.0], [100.0], [5.0], [7.0]])
    places = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [9.0, 9.0]])
    found = smooth(values, places, np.array([True, False, True, False]))[:, 0]
    np.testing.assert_allclose(found, [1, 3, 5, 7])
    all_in = smooth(values, places, np.ones(4, dtype=bool))[:, 0]
    assert all_in[0] == pytest.approx(50.5)


@given(st.integers(0, 99))
def test_means_keep_constants_bounds_and_know_no_order(seed: int):
    rng = np.random.default_rng(seed)
    places = np.unique(rng.integers(0, 6, (20, 2)), axis=0).astype(float)
    values, counted = rng.normal(size=(len(places), 3)), rng.random(len(places)) < 0.8
    found = smooth(values, places, counted)
    assert (found >= values.min(0) - 1e-9).all()
    assert (found <= values.max(0) + 1e-9).all()
    np.testing.assert_allclose(smooth(values * 0 + 4, places, counted), 4)
    order = rng.permutation(len(places))
    np.testing.assert_allclose(smooth(values[order], places[order], counted[order]), found[order])
    away = smooth(values, places[:, ::-1] + 7, counted)
    np.testing.assert_allclose(away, found)


def test_places_are_read_from_the_table():
    obs = pd.DataFrame({"array_row": [1, 2], "array_col": [5, 5], "other": ["a", "b"]})
    np.testing.assert_array_equal(read_places(obs, where="slide 'a'"), [[1, 5], [2, 5]])
    with pytest.raises(KeyError, match=r"No column of \.obs of slide 'a': 'array_row'"):
        read_places(obs.drop(columns="array_row"), where="slide 'a'")
    with pytest.raises(ValueError, match="slide 'a' are not whole numbers"):
        read_places(obs.assign(array_row=[1.0, 2.5]), where="slide 'a'")
    with pytest.raises(ValueError, match="slide 'a' are not whole numbers"):
        read_places(obs.assign(array_row=[1.0, np.nan]), where="slide 'a'")
    with pytest.raises(ValueError, match="Two spots of slide 'a' have one place"):
        read_places(obs.assign(array_row=[1, 1]), where="slide 'a'")


def test_numbers_that_are_none():
    assert Target(2, 3).describe()["smoothed"] is False
    with pytest.raises(ValueError, match="`n_genes` is 4, but they are chosen from 3"):
        Target(4, 3)
    with pytest.raises(ValueError, match="`n_genes` must be"):
        Target(0, 3)
