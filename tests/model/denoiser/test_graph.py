from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from stflow.model.denoiser._graph import on_principal_axes, spot_graph
from stflow.slide._graph import neighbour_distance

LINE = np.array([[0.0, 0.0], [3.0, 0.0], [9.0, 0.0]])
CHAIN = sp.csr_matrix(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float32))


def test_neighbour_distance_is_the_median_of_the_nearest() -> None:
    assert neighbour_distance(LINE, CHAIN) == 3.0
    assert neighbour_distance(LINE * 7, CHAIN) == 21.0


def test_neighbour_distance_without_neighbours() -> None:
    assert neighbour_distance(LINE[:1], sp.csr_matrix((1, 1))) == 1.0
    assert neighbour_distance(LINE * 0, CHAIN) == 1.0


def test_edges_and_lengths_by_hand() -> None:
    graph = spot_graph(LINE, CHAIN, unit=3.0)
    assert graph.target.tolist() == [0, 1, 1, 2]
    assert graph.source.tolist() == [1, 0, 2, 1]
    assert graph.geometry[:, 2].tolist() == [1, 1, 2, 2]


def test_axes_of_an_elongated_neighbourhood() -> None:
    """On an ellipse the first axis is the long one, whichever way the slide lies."""
    angles = np.arange(8) * np.pi / 4
    around = np.column_stack([3 * np.cos(angles), np.sin(angles)])
    turned = around @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    target = np.zeros(8, dtype=int)
    gap = (9 - 1) / (9 + 1)
    for directions in (around, turned):
        along = on_principal_axes(directions, target, 1)
        assert np.abs(along) == pytest.approx(gap * np.abs(around))


@pytest.mark.parametrize("n", [3, 4, 6, 8])
def test_a_regular_ring_has_no_axes(n: int) -> None:
    angles = 2 * np.pi * np.arange(n) / n
    ring = np.column_stack([np.cos(angles), np.sin(angles)])
    assert np.abs(on_principal_axes(ring, np.zeros(n, dtype=int), 1)).max() < 1e-12


def test_a_single_neighbour_has_no_axes() -> None:
    assert not on_principal_axes(np.array([[1.0, 2.0]]), np.zeros(1, dtype=int), 1).any()


def test_to_moves_every_tensor() -> None:
    moved = spot_graph(LINE, CHAIN, 1.0).to(torch.device("meta"))
    assert {moved.target.device.type, moved.geometry.device.type} == {"meta"}
