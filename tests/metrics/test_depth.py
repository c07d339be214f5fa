"""Partial correlations: by hand, against regressions, and where depth leaves nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow import metrics


@pytest.fixture
def depth(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(8.0, 1.0, size=300)


def rest(values: np.ndarray, depth: np.ndarray) -> np.ndarray:
    design = np.column_stack([np.ones_like(depth), depth])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_it_is_the_correlation_of_what_regressions_leave(depth, rng):
    measured = depth[:, None] + rng.normal(size=(300, 3))
    predicted = 2 * depth[:, None] + 0.3 * measured + rng.normal(size=(300, 3))
    pairs = zip(rest(measured, depth).T, rest(predicted, depth).T, strict=True)
    expected = [np.corrcoef(x, y)[0, 1] for x, y in pairs]
    np.testing.assert_allclose(metrics.partial(measured, predicted, depth), expected)


def test_the_formula_of_three_correlations(depth, rng):
    measured = depth[:, None] + rng.normal(size=(300, 1))
    predicted = depth[:, None] + measured + rng.normal(size=(300, 1))
    xy, xz, yz = (
        np.corrcoef(a, b)[0, 1]
        for a, b in [
            (measured[:, 0], predicted[:, 0]),
            (measured[:, 0], depth),
            (predicted[:, 0], depth),
        ]
    )
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    np.testing.assert_allclose(metrics.partial(measured, predicted, depth), expected)


def test_what_shares_depth_alone_scores_nothing(depth, rng):
    measured = np.repeat(depth[:, None], 40, axis=1) + rng.normal(size=(300, 40))
    predicted = depth[:, None] + 0.5 * rng.normal(size=(300, 40))
    assert metrics.pearson(measured, predicted).min() > 0.4
    assert np.abs(metrics.partial(measured, predicted, depth)).mean() < 0.08
    kept = metrics.partial(measured, measured + 3 * depth[:, None], depth)
    np.testing.assert_allclose(kept, 1.0)


def test_depth_as_a_predictor_of_every_gene(depth, rng):
    measured = np.stack([2 * depth, -depth, rng.normal(size=300)], axis=1)
    found = metrics.pearson(measured, metrics.as_predictor(depth, measured))
    np.testing.assert_allclose(found[:2], [1.0, -1.0])
    assert abs(found[2]) < 0.2


def test_undefined_is_nan_and_a_constant_depth_changes_nothing(depth, rng):
    measured, predicted = rng.normal(size=(2, 300, 4))
    measured[:, 0], predicted[:, 1], predicted[:, 2] = 0.1, 0.1, 3 * depth - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.partial(measured, predicted, depth)
        same = metrics.partial(measured, predicted, np.full(300, 0.1))
        stored = metrics.partial(measured, predicted.astype(np.float32), depth)
        assert np.isnan(metrics.partial(measured[:2], predicted[:2], depth[:2])).all()
    assert np.isnan(found).tolist() == [True, True, True, False]
    assert np.isnan(stored).tolist() == [True, True, True, False]
    np.testing.assert_allclose(same, metrics.pearson(measured, predicted))


@given(
    seed=st.integers(0, 2**16),
    scale=st.floats(0.1, 10),
    shift=st.floats(-9, 9),
)
def test_scale_shift_and_order_of_spots_do_not_matter(seed: int, scale: float, shift: float):
    rng = np.random.default_rng(seed)
    measured, predicted = rng.normal(size=(2, 20, 2))
    depth, order = rng.normal(size=20), rng.permutation(20)
    found = metrics.partial(measured, predicted, depth)
    moved = metrics.partial(scale * measured + shift, shift + predicted / scale, scale * depth)
    np.testing.assert_allclose(moved, found, atol=1e-9)
    np.testing.assert_allclose(
        metrics.partial(measured[order], predicted[order], depth[order]), found, atol=1e-9
    )
    np.testing.assert_allclose(
        metrics.partial(measured + 2 * depth[:, None], predicted, depth), found, atol=1e-9
    )
    assert (np.abs(found) <= 1).all()


def test_refusals():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"one number a spot, shape \(3,\), not \(2,\)"):
        metrics.partial(ones, ones, np.ones(2))
    with pytest.raises(ValueError, match="`depth` holds 1 values that are NaN or infinite"):
        metrics.partial(ones, ones, np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match=r"one shape .* not \(3, 2\) and \(2, 3\)"):
        metrics.partial(ones, ones.T, np.ones(3))
