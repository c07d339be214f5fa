from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree
from support import hexagonal, square
from torch.nn.functional import conv2d

from stflow.bench.methods._parts._lattice import LatticeConvolution, lattice_cells, surroundings

CPU = torch.device("cpu")


def knn(coords: np.ndarray, k: int) -> sp.csr_matrix:
    nearest = KDTree(coords).query(coords, k + 1)[1][:, 1:]
    rows = np.repeat(np.arange(len(coords)), k)
    return sp.csr_matrix((np.ones(rows.size), (rows, nearest.ravel())), shape=(len(coords),) * 2)


@pytest.fixture
def convolution() -> LatticeConvolution:
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        layer = LatticeConvolution(3)
        torch.nn.init.normal_(layer.bias)
    return layer.requires_grad_(False)


@given(scale=st.floats(0.01, 1000), jitter=st.floats(0, 0.05), seed=st.integers(0, 9))
def test_a_square_lattice_is_found_at_any_scale(scale: float, jitter: float, seed: int):
    true = square(8) / 200
    coords = scale * (true + jitter * np.random.default_rng(seed).uniform(-1, 1, true.shape))
    cells = lattice_cells(coords, knn(coords, 8))
    assert np.array_equal(cells - cells.min(0), true.astype(int))


def test_spots_of_a_hexagonal_lattice_have_cells_of_their_own():
    coords = hexagonal(8)
    cells = lattice_cells(coords, knn(coords, 6))
    assert len(np.unique(cells, axis=0)) == len(coords)
    middle = 8 * 4 + 4
    near = np.argsort(np.linalg.norm(coords - coords[middle], axis=1), kind="stable")[1:7]
    offsets = {tuple(offset) for offset in (cells[near] - cells[middle]).tolist()}
    assert offsets == {(-2, 0), (2, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)}


def turned(coords: np.ndarray, degrees: float) -> np.ndarray:
    """Coordinates, rotated about their origin."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return coords @ np.array([[cos, sin], [-sin, cos]])


@pytest.mark.parametrize(("lattice", "symmetry", "k"), [(square, 90, 8), (hexagonal, 60, 6)])
@given(degrees=st.floats(-180, 180))
def test_neighbours_have_the_same_offsets_however_the_lattice_is_turned(
    lattice, symmetry: int, k: int, degrees: float
):
    coords = lattice(9)

    def offsets(coords: np.ndarray) -> set[tuple[int, ...]]:
        graph = knn(coords, k).tocoo()
        lengths = np.linalg.norm(coords[graph.row] - coords[graph.col], axis=1)
        near = lengths < 1.2 * lengths.min()
        cells = lattice_cells(coords, graph.tocsr())
        steps = (cells[graph.row] - cells[graph.col])[near]
        return {tuple(step) for step in steps.tolist()}

    assert offsets(turned(coords, degrees)) == offsets(coords)
    assert len(offsets(coords)) == 360 // symmetry


def test_convolution_with_holes_is_the_dense_one(convolution, rng):
    cells = np.stack(np.meshgrid(np.arange(9), np.arange(7)), -1).reshape(-1, 2)
    cells = rng.permutation(cells)[:40]
    states = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    dense = torch.zeros(1, 3, 9, 7)
    dense[0, :, cells[:, 0], cells[:, 1]] = states.T
    kernel = convolution.weight.T.reshape(3, 1, 5, 5)
    expected = conv2d(dense, kernel, convolution.bias, padding=2, groups=3)
    found = convolution(states, surroundings(cells, CPU))
    assert torch.allclose(found, expected[0, :, cells[:, 0], cells[:, 1]].T, atol=1e-5)


def test_only_the_surroundings_matter_and_a_shift_does_not(convolution):
    cells = np.stack(np.meshgrid(np.arange(9), np.arange(9)), -1).reshape(-1, 2)
    states = torch.randn(81, 3, generator=torch.Generator().manual_seed(0))
    before = convolution(states, surroundings(cells, CPU))
    assert torch.allclose(convolution(states, surroundings(cells + np.array([7, -3]), CPU)), before)
    changed = states.clone()
    changed[40] += 1
    moved = (convolution(changed, surroundings(cells, CPU)) - before).abs().sum(1) > 1e-6
    reached = np.abs(cells - cells[40]).max(1) <= 2
    assert np.array_equal(moved.numpy(), reached)


def test_the_middle_tap_alone_gives_every_spot_its_own_state_back(convolution):
    cells = np.array([[0, 0], [5, 1], [100_000, 7], [2, 2]])
    convolution.weight.zero_()
    convolution.weight[12] = 1
    convolution.bias.zero_()
    states = torch.arange(12.0).reshape(4, 3)
    assert torch.equal(convolution(states, surroundings(cells, CPU)), states)
    shared = convolution(states, surroundings(cells[[0, 0, 2, 3]], CPU))
    assert torch.equal(shared[0], states[:2].mean(0))
    assert torch.equal(shared[1], shared[0])


def test_one_spot_alone_has_a_cell():
    cells = lattice_cells(np.array([[3.0, 4.0]]), sp.csr_matrix((1, 1)))
    assert cells.tolist() == [[0, 0]]
