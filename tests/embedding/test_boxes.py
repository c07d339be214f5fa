"""Means over boxes against means taken pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stflow.embedding._boxes import Boxes, box_moments, distinct

HEIGHT, WIDTH = 19, 23
LEVEL = torch.tensor([50.0, 49.5, 51.0])
VALUES = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) + 50


def shares(lower: float, upper: float, n: int) -> np.ndarray:
    """Of each pixel: how much of it lies between two edges."""
    at = np.arange(n)
    return np.clip(np.minimum(at + 1, upper) - np.maximum(at, lower), 0, None)


def moments(values: torch.Tensor, lower, width: float, level: torch.Tensor) -> list[np.ndarray]:
    """Of boxes by their upper left corners."""
    lower = np.asarray(lower, dtype=float)
    return box_moments(values, Boxes(lower, lower + width), level)


def taken(values: torch.Tensor, lower, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation over one box."""
    pixels = values[0].double().numpy()
    x, y = (shares(lower[i], lower[i] + width, pixels.shape[2 - i]) for i in range(2))
    weights = y[:, None] * x / width**2
    mean = (weights * pixels).sum((1, 2))
    return mean, np.sqrt((weights * (pixels - mean[:, None, None]) ** 2).sum((1, 2)))


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 8), st.floats(0, 8), st.one_of(st.floats(0.125, 10), st.integers(1, 10)))
def test_a_pixel_counts_by_the_share_inside(x, y, width):
    mean, deviation = moments(VALUES, np.array([[x, y]]), width, LEVEL)
    expected_mean, expected_deviation = taken(VALUES, (x, y), round(width, 6))
    np.testing.assert_allclose(mean[0], expected_mean, atol=2e-5)
    np.testing.assert_allclose(deviation[0], expected_deviation, atol=2e-3)


def test_boxes_elsewhere_and_wider_are_others():
    mean, _ = moments(VALUES, np.array([[2.0, 3.0], [2.5, 3.0]]), 6, LEVEL)
    wider, _ = moments(VALUES, np.array([[2.0, 3.0]]), 6.5, LEVEL)
    assert np.abs(mean[0] - mean[1]).max() > 1e-3
    assert np.abs(mean[0] - wider[0]).max() > 1e-3


def test_deviation_of_large_values_is_exact():
    values = 1e4 + torch.randn(1, 1, 66, 66, generator=torch.Generator().manual_seed(1))
    for lower, width in ((0.0, 64), (0.25, 63.5)):
        _, deviation = moments(values, np.full((1, 2), lower), width, torch.tensor([1e4]))
        expected = taken(values, (lower, lower), width)[1]
        np.testing.assert_allclose(deviation[0], expected, rtol=1e-5)


def test_the_level_hardly_matters():
    lower = np.array([[1.3, 2.7]])
    found = [moments(VALUES, lower, 7.5, LEVEL + shift) for shift in (0, 2)]
    np.testing.assert_allclose(found[0], found[1], atol=2e-5)


def test_pieces_that_boxes_share_area_with():
    boxes = Boxes.around(np.array([[1.0, 3.0], [6.0, 6.0]]), 4.0)
    assert boxes.pieces(4) == {(-1, 0), (0, 0), (-1, 1), (0, 1), (1, 1)}
    assert boxes.pieces(1000) == {(-1, 0), (0, 0)}
    assert Boxes.around(np.empty((0, 2)), 4.0).pieces(4) == set()


@given(seed=st.integers(0, 200), n=st.integers(1, 60))
def test_distinct_rows_are_those_of_numpy(seed, n):
    rows = np.random.default_rng(seed).integers(-3, 3, (n, 4))
    found, which = distinct(rows)
    np.testing.assert_array_equal(found, np.unique(rows, axis=0))
    np.testing.assert_array_equal(found[which], rows)


def test_room_around_boxes():
    boxes = Boxes.around(np.array([[5.0, 9.5], [7.0, 6.0]]), 4.0)
    assert boxes.extent() == (3, 4, 10, 13)
    assert boxes.extent(8) == (0, 0, 24, 24)
