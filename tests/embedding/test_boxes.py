"""Sums over boxes against sums taken pixel by pixel."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stflow.embedding._boxes import Boxes, box_sums, moments, summed_area

HEIGHT, WIDTH = 9, 13
VALUES = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) + 50
edge = st.floats(-3, 16)


def shares(lower: float, upper: float, n: int) -> np.ndarray:
    """Of each pixel: how much of it lies between two edges."""
    at = np.arange(n)
    return np.clip(np.minimum(at + 1, upper) - np.maximum(at, lower), 0, None)


def taken(lower, upper) -> tuple[np.ndarray, np.ndarray]:
    weights = shares(lower[1], upper[1], HEIGHT)[:, None] * shares(lower[0], upper[0], WIDTH)
    values = VALUES[0].double().numpy()
    return (weights * values).sum((1, 2)), (weights * values**2).sum((1, 2))


@settings(max_examples=60, deadline=None)
@given(st.tuples(edge, edge, edge, edge))
def test_a_pixel_counts_by_the_share_inside(edges):
    x0, x1, y0, y1 = *sorted(edges[:2]), *sorted(edges[2:])
    lower, upper = (torch.tensor([c], dtype=torch.float64) for c in ((x0, y0), (x1, y1)))
    found = box_sums(summed_area(VALUES), lower, upper)[0].numpy()
    np.testing.assert_allclose(found, np.concatenate(taken((x0, y0), (x1, y1))), atol=1e-8)


def test_moments_over_pieces_are_those_of_the_whole():
    boxes = Boxes(np.array([[1.5, 2.25], [0.0, 0.0]]), np.array([[9.0, 7.5], [13.0, 9.0]]))
    halves = [
        ((0, 0), np.array([0, 1]), [VALUES[..., :6]]),
        ((6, 0), np.array([0, 1]), [VALUES[..., 6:]]),
    ]
    mean, deviation = moments(boxes, [1], halves)
    for i in range(2):
        total, squares = taken(boxes.lower[i], boxes.upper[i])
        area = np.prod(boxes.upper[i] - boxes.lower[i])
        np.testing.assert_allclose(mean[i], total / area, rtol=1e-6)
        expected = np.sqrt(squares / area - (total / area) ** 2)
        np.testing.assert_allclose(deviation[i], expected, rtol=1e-5)


def test_deviation_of_large_values_is_exact():
    values = 1e4 + torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    boxes = Boxes(np.zeros((1, 2)), np.full((1, 2), 64.0))
    _, deviation = moments(boxes, [1], [((0, 0), np.array([0]), [values])])
    np.testing.assert_allclose(deviation[0, 0], values.double().std(correction=0), rtol=1e-5)


def test_pieces_that_boxes_share_area_with():
    boxes = Boxes(np.array([[-1.0, 3.0], [4.0, 4.0]]), np.array([[5.0, 4.0], [8.0, 8.0]]))
    found = {piece: at.tolist() for piece, at in boxes.by_piece(4).items()}
    assert found == {(-1, 0): [0], (0, 0): [0], (1, 0): [0], (1, 1): [1]}
    assert Boxes(np.empty((0, 2)), np.empty((0, 2))).by_piece(4) == {}
