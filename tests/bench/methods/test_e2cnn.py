from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from support import hexagonal, square

from stflow.bench.methods import FlowE2CNN, _e2cnn
from stflow.bench.methods._e2cnn import EMPTY, SteerableTraining, spot_grids
from stflow.metrics import pearson

SIDE = 9


def test_a_square_lattice_gives_its_own_blocks() -> None:
    coords = square(SIDE)
    grids = spot_grids(coords, 200.0).reshape(SIDE, SIDE, 5, 5)
    numbers = np.pad(np.arange(SIDE**2).reshape(SIDE, SIDE), 2, constant_values=EMPTY)
    for row in range(SIDE):
        for column in range(SIDE):
            assert np.array_equal(grids[row, column], numbers[row : row + 5, column : column + 5])


def test_places_without_a_spot_near_are_empty() -> None:
    kept = np.arange(SIDE**2) != 41
    grid = spot_grids(square(SIDE)[kept], 200.0)[40].reshape(5, 5)
    assert grid[2, 2] == 40
    assert grid[2, 3] == EMPTY
    assert (grid == EMPTY).sum() == 1


@pytest.mark.parametrize("jitter", [0.0, 8.0])
def test_no_spot_of_a_hexagonal_lattice_is_taken_twice(rng, jitter) -> None:
    coords = hexagonal(12) + jitter * rng.standard_normal((144, 2))
    grids = spot_grids(coords, 100.0)
    inner = (coords > 300).all(1) & (coords < coords.max(0) - 300).all(1)
    for grid in grids:
        taken = grid[grid != EMPTY]
        assert len(set(taken)) == len(taken)
    assert (grids[:, 12] == np.arange(144)).all()
    assert (grids[inner] != EMPTY).mean() > 0.95
    places = coords[:, None] + 100 * np.stack(np.meshgrid(*2 * [np.arange(-2, 3)]), -1).reshape(
        25, 2
    )
    nearest = KDTree(coords).query(places)[1][inner]
    assert any(len(set(row)) < 25 for row in nearest)


def test_the_order_of_the_spots_is_all_the_same(rng) -> None:
    coords = hexagonal(8)
    order = rng.permutation(64)
    grids, shuffled = spot_grids(coords, 100.0), spot_grids(coords[order], 100.0)
    back = np.append(order, EMPTY)[shuffled]
    assert np.array_equal(back, grids[order])


def test_one_spot_alone_is_in_the_middle() -> None:
    grid = spot_grids(np.zeros((1, 2)), 1.0)[0]
    assert grid[12] == 0
    assert (grid == EMPTY).sum() == 24


@pytest.fixture(scope="module")
def squares(arrays):
    """The slides with their spots moved to a square lattice."""
    return [replace(slide, coords=square(10)) for slide in arrays]


@pytest.fixture(scope="module")
def fitted(squares) -> FlowE2CNN:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_e2cnn, "BATCHES", 3)
        return FlowE2CNN(protocol="hest", max_epochs=1, device="cpu").fit(squares[:2], seed=0)


def test_turning_and_mirroring_the_tissue_changes_nothing(fitted, squares) -> None:
    slide = squares[2]
    before = fitted.predict(slide)
    moves = [
        lambda xy: xy[:, ::-1],
        lambda xy: xy * [1, -1],
        lambda xy: xy @ np.array([[0, 1], [-1, 0]]),
        lambda xy: 3 * xy + [500, -20],
    ]
    for move in moves:
        after = fitted.predict(replace(slide, coords=move(slide.coords)))
        assert np.allclose(after, before, atol=1e-4)
    angle = np.pi / 4
    cos, sin = np.cos(angle), np.sin(angle)
    askew = slide.coords @ np.array([[cos, -sin], [sin, cos]])
    assert np.abs(fitted.predict(replace(slide, coords=askew)) - before).max() > 1e-2


def test_the_expression_of_the_slide_is_not_looked_at(fitted, squares) -> None:
    before = fitted.predict(squares[2])
    assert before.shape == (100, 8)
    assert np.array_equal(fitted.predict(replace(squares[2], expression=None, genes=())), before)
    assert fitted.choice == (5e-4, 1)


def test_an_untrained_network_answers_with_the_mean(squares) -> None:
    training = SteerableTraining(squares[:2], 0, torch.device("cpu"))
    training.network.eval()
    with torch.inference_mode():
        predicted = training.predict(squares[2])
    mean = np.concatenate([slide.expression for slide in squares[:2]]).mean(0)
    assert np.allclose(predicted, mean, atol=1e-5)


@pytest.mark.slow
def test_it_learns(arrays, monkeypatch) -> None:
    monkeypatch.setattr(_e2cnn, "BATCHES", 40)
    monkeypatch.setattr(_e2cnn, "BATCH_SIZE", 32)
    method = FlowE2CNN(protocol="hest", max_epochs=3, device="cpu").fit(arrays[:2], seed=0)
    scores = pearson(arrays[2].expression, method.predict(arrays[2]))
    assert np.nanmean(scores) > 0.3
