from __future__ import annotations

import numpy as np
import pytest
from support import archipelago, square

from stflow.model.residuals._fields import LEVELS, Smoother, draw_fields
from stflow.model.residuals._kriging import NUGGET, krige
from stflow.slide._graph import knn_graph

N_LEVELS = len(LEVELS)
SHARES = np.array([[0.4, 1.0, 0.2], [0.2, 0.0, 0.0], [0.2, 0.0, 0.8], [0.2, 0, 0]])
KEPT = np.array([0.0, 0.2, 0.4, 0.6])


def slide(side: int) -> Smoother:
    return Smoother(knn_graph(square(side), 8)[0])


def dense_covariance(smoother: Smoother, shares: np.ndarray) -> np.ndarray:
    average = smoother.average.toarray().astype(float)
    total = np.zeros_like(average)
    for share, level, size, kept in zip(shares, LEVELS, smoother.spread, KEPT, strict=True):
        less = np.eye(len(average)) - (1 - kept) / len(average)
        power = less @ (np.linalg.matrix_power(average, level) / size[:, None])
        total += share * power @ power.T
    return total


def test_equals_the_dense_solution() -> None:
    smoother = slide(9)
    rng = np.random.default_rng(0)
    known, values = np.sort(rng.choice(81, 20, replace=False)), rng.normal(size=(20, 3))
    found = krige(smoother, known, values, SHARES, KEPT)
    for i in range(3):
        covariance = dense_covariance(smoother, SHARES[:, i])
        inner = covariance[np.ix_(known, known)] + NUGGET * np.eye(20)
        expected = covariance[:, known] @ np.linalg.solve(inner, values[:, i])
        np.testing.assert_allclose(found[:, i], expected, atol=1e-3)


def test_noise_tells_nothing_of_other_spots() -> None:
    smoother = slide(6)
    shares = np.zeros((N_LEVELS, 1))
    shares[0] = 1
    found = krige(smoother, np.array([3]), np.array([[2.0]]), shares, np.ones(N_LEVELS))
    assert found[3, 0] == pytest.approx(2, abs=0.01)
    assert np.abs(np.delete(found, 3, axis=0)).max() == 0


def test_known_spots_help_as_much_as_theory_says() -> None:
    """Squared error of kriging a drawn field beside the variance it should have."""
    smoother = slide(15)
    rng, shares = np.random.default_rng(0), np.repeat(SHARES[:, 2:], 400, axis=1)
    fields = draw_fields(smoother, shares, KEPT, rng)
    known = np.arange(0, 225, 4)
    found = krige(smoother, known, fields[known], shares, KEPT)
    rest = np.setdiff1d(np.arange(225), known)
    covariance = dense_covariance(smoother, SHARES[:, 2])
    inner = covariance[np.ix_(known, known)] + NUGGET * np.eye(len(known))
    gain = covariance[:, known] @ np.linalg.solve(inner, covariance[known])
    expected = np.diag(covariance - gain)[rest].mean()
    error = ((found - fields)[rest] ** 2).mean()
    assert error == pytest.approx(expected, rel=0.05)
    assert error < 0.7


def test_the_covariance_is_that_of_draws_in_every_piece_of_tissue() -> None:
    """Kriging from one spot of unit variance gives the covariance with it."""
    smoother, mixture = Smoother(archipelago(20)), np.array([[0.2], [0.2], [0.3], [0.3]])
    shares, whole = np.repeat(mixture, 8000, axis=1), np.ones(N_LEVELS)
    drawn = draw_fields(smoother, shares, whole, np.random.default_rng(0)).astype(float)
    for spot in (210, 400, 404, 410):
        found = krige(smoother, np.array([spot]), np.array([[1 + NUGGET]]), mixture, whole)
        empirical = drawn @ drawn[spot] / drawn.shape[1]
        assert found[spot] == pytest.approx(1, abs=0.1)
        np.testing.assert_allclose(found[:, 0], empirical, atol=0.1)


def test_a_large_field_leaves_the_others_as_they_are() -> None:
    smoother, rng = slide(9), np.random.default_rng(0)
    known, values = np.sort(rng.choice(81, 20, replace=False)), rng.normal(size=(20, 3))
    expected = krige(smoother, known, values, SHARES, KEPT)
    values[:, 0] *= 1e6
    values[:, 1] = 0
    found = krige(smoother, known, values, SHARES, KEPT)
    np.testing.assert_allclose(found[:, 0], 1e6 * expected[:, 0], rtol=1e-3, atol=1e3)
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_allclose(found[:, 2], expected[:, 2], atol=1e-3)
