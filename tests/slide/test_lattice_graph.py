"""Neighbours at a pitch: those of the shifted lattices of a grid, and like them among cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import KDTree

from stflow.slide import knn_graph, lattice_graph

AXES = {"square": [[1.0, 0.0], [0.0, 1.0]], "hex": [[1.0, 0.0], [0.5, np.sqrt(0.75)]]}


def grid(lattice: str, step: float, *, radius: float = 450.0, angle: float = 0.0):
    """Places of a grid in a disc with a notch, turned, and their numbers along the axes."""
    numbers = np.stack(np.meshgrid(*2 * [np.arange(-90, 91)]), -1).reshape(-1, 2)
    places = numbers @ np.array(AXES[lattice]) * step
    inside = (np.linalg.norm(places, axis=1) < radius) & ~((abs(places) < 130).all(1))
    cos, sin = np.cos(angle), np.sin(angle)
    return places[inside] @ np.array([[cos, sin], [-sin, cos]]), numbers[inside]


def cells(density: float, *, side: float = 800.0, closest: float = 6.0) -> np.ndarray:
    """Points that keep a distance, so many in a square micrometre."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, side, (int(density * side**2), 2))
    pairs = KDTree(points).query_pairs(closest, output_type="ndarray")
    return np.delete(points, np.unique(pairs.max(1)), axis=0)


@pytest.mark.parametrize("lattice", ["square", "hex"])
@pytest.mark.parametrize("parts", [1, 2, 4, 5])
@pytest.mark.parametrize("angle", [0.0, np.deg2rad(17)])
def test_a_grid_falls_into_lattices(lattice: str, parts: int, angle: float) -> None:
    """At the rim of the tissue, too. Negative control: the nearest of all spots are others."""
    coords, numbers = grid(lattice, 100 / parts, angle=angle)
    graph, distances = lattice_graph(coords, 100.0, lattice=lattice, n_neighs=8)
    shift = (numbers % parts) @ [parts, 1]
    assert len(np.unique(shift)) == parts**2
    for each in np.unique(shift):
        own = np.flatnonzero(shift == each)
        wanted, lengths = knn_graph(coords[own], 8)
        assert (graph[own][:, own] != wanted).nnz == 0
        assert abs(distances[own][:, own] - lengths).max() < 1e-6
        assert graph[own].nnz == wanted.nnz
    if parts > 1:
        assert (graph != knn_graph(coords, 8)[0]).nnz > graph.nnz / 2


@given(parts=st.sampled_from([2, 3, 4]), lattice=st.sampled_from(["square", "hex"]))
def test_a_denser_grid_changes_nothing_for_spots_that_were_there(parts: int, lattice: str) -> None:
    coarse, _ = grid(lattice, 100.0)
    fine, numbers = grid(lattice, 100 / parts)
    own = np.flatnonzero((numbers % parts == 0).all(1))
    assert np.allclose(fine[own], coarse)
    before, _ = lattice_graph(coarse, 100.0, lattice=lattice, n_neighs=8)
    after, _ = lattice_graph(fine, 100.0, lattice=lattice, n_neighs=8)
    assert (after[own][:, own] != before).nnz == 0
    assert after[own].nnz == before.nnz


def test_bins_whose_side_does_not_divide_the_pitch() -> None:
    coords = 8.0 * np.stack(np.meshgrid(*2 * [np.arange(-30, 31)]), -1).reshape(-1, 2)
    inner = (abs(coords) < 90).all(1)
    graph, distances = lattice_graph(coords, 100.0, lattice="square", n_neighs=8)
    assert set(np.diff(graph.indptr)[inner]) == {8}
    nearest = np.sort(distances[inner].data.reshape(-1, 8), axis=1)[:, :4]
    assert abs(nearest - 100).max() <= 4 * np.sqrt(2) + 1e-6


@pytest.mark.parametrize("density", [0.0008, 0.004])
def test_cells_have_neighbours_at_the_pitch(density: float) -> None:
    """As many, and as far, whether cells are sparse or dense, and one in each direction."""
    coords = cells(density)
    graph, distances = lattice_graph(coords, 100.0, lattice="square", n_neighs=8)
    inner = np.flatnonzero((abs(coords - 400) < 200).all(1))
    degrees = np.diff(graph.indptr)[inner]
    assert (degrees == 8).mean() > 0.95
    lengths = distances[inner].data
    spacing = len(coords) ** -0.5 * 800
    assert np.median(lengths) == pytest.approx(100 * (1 + np.sqrt(2)) / 2, rel=0.05)
    assert lengths.min() > 100 - spacing * 1.5
    rows, columns = graph[inner].nonzero()
    away = coords[columns] - coords[inner][rows]
    assert abs(away.mean(0)).max() < 0.03 * 100
    control = knn_graph(coords, 8)[1][inner].data
    assert np.median(control) < 2 * spacing


def test_no_spot_is_its_own_neighbour_nor_counted_twice() -> None:
    coords = cells(0.0004)
    graph, _ = lattice_graph(coords, 100.0, lattice="hex", n_neighs=8)
    assert graph.diagonal().max() == 0
    assert graph.data.max() == 1


def test_a_measured_lattice_is_found_as_it_lies() -> None:
    """Spots a little off their places, turned by 45 degrees: as the nearest are, but at the rim."""
    coords, _ = grid("square", 200.0, radius=2000.0, angle=np.pi / 4)
    coords = coords + np.random.default_rng(0).normal(0, 4, coords.shape)
    graph, _ = lattice_graph(coords, 200.0, lattice="square", n_neighs=8)
    inner = np.linalg.norm(coords, axis=1)
    inner = (inner > 500) & (inner < 1600)
    assert (graph[inner] != knn_graph(coords, 8)[0][inner]).nnz == 0


@pytest.mark.parametrize("n", [1, 2])
def test_spots_that_are_too_few(n: int) -> None:
    coords = np.array([[0.0, 0.0], [100.0, 0.0]])[:n]
    graph, _ = lattice_graph(coords, 100.0, lattice="square", n_neighs=8)
    assert graph.nnz == 2 * (n - 1)
    assert lattice_graph(coords, 20.0, lattice="hex", n_neighs=8)[0].nnz == 0
