"""Scores against scipy and scikit-learn, laws, and what undefined genes do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import r2_score, root_mean_squared_error

from stflow import metrics


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    measured = np.log1p(rng.poisson(2.0, size=(60, 7)).astype(float))
    return measured, measured + rng.normal(0, 0.7, size=measured.shape)


def test_scores_are_those_of_scipy_and_sklearn(pair):
    measured, predicted = pair
    columns = list(zip(measured.T, predicted.T, strict=True))
    known = {
        metrics.pearson: [stats.pearsonr(x, y).statistic for x, y in columns],
        metrics.spearman: [stats.spearmanr(x, y).statistic for x, y in columns],
        metrics.r2: r2_score(measured, predicted, multioutput="raw_values"),
        metrics.rmse: root_mean_squared_error(measured, predicted, multioutput="raw_values"),
    }
    for score, expected in known.items():
        np.testing.assert_allclose(score(measured, predicted), expected, rtol=1e-10)


def test_perfect_reversed_and_mean_predictions(pair):
    measured, _ = pair
    mean = np.broadcast_to(measured.mean(axis=0), measured.shape)
    np.testing.assert_allclose(metrics.pearson(measured, measured), 1.0)
    np.testing.assert_allclose(metrics.spearman(measured, -measured), -1.0)
    np.testing.assert_allclose(metrics.r2(measured, measured), 1.0)
    np.testing.assert_allclose(metrics.r2(measured, mean), 0.0, atol=1e-12)
    np.testing.assert_allclose(metrics.rmse(measured, measured + 2.0), 2.0)


def test_shuffled_spots_score_nothing(pair, rng):
    measured, predicted = np.tile(pair[0], (20, 1)), np.tile(pair[1], (20, 1))
    assert metrics.pearson(measured, predicted).min() > 0.3
    assert np.abs(metrics.pearson(measured, rng.permutation(predicted))).max() < 0.1


def test_constant_genes_are_undefined_not_zero(pair):
    measured, predicted = (array.copy() for array in pair)
    measured[:, 0], predicted[:, 1] = 0.1, 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = metrics.per_gene(measured, predicted, genes=list("abcdefg"))
    undefined = table.isna()
    assert undefined["pearson"].tolist() == [True, True] + [False] * 5
    assert undefined["spearman"].tolist() == [True, True] + [False] * 5
    assert undefined["r2"].tolist() == [True] + [False] * 6
    assert not undefined["rmse"].any()
    assert table.attrs["n_undefined"] == {"pearson": 2, "spearman": 2, "r2": 1, "rmse": 0}
    assert table.attrs["pearson"] == pytest.approx(np.mean(table["pearson"].to_numpy()[2:]))
    assert table.attrs["n_genes"] == 7
    assert (table["n_spots"] == 60).all()


def test_a_constant_spoilt_by_rounding_is_undefined(rng):
    measured = rng.normal(size=(50, 1))
    rounding = 0.1 + rng.choice([0.0, 2.0**-56], size=(50, 1))
    assert np.ptp(rounding) > 0
    assert np.isnan(metrics.pearson(measured, rounding)).all()
    assert np.isnan(metrics.spearman(measured, rounding)).all()
    assert np.isfinite(metrics.pearson(measured, 0.1 + 1e-6 * rng.normal(size=(50, 1)))).all()


def test_nothing_defined_has_no_mean():
    table = metrics.per_gene(np.ones((4, 2)), np.ones((4, 2)), genes=["a", "b"])
    assert np.isnan(table.attrs["pearson"])
    assert table.attrs["n_undefined"]["pearson"] == 2
    assert table.attrs["rmse"] == 0.0


def test_one_spot_has_an_error_but_no_correlation():
    table = metrics.per_gene(np.array([[1.0]]), np.array([[3.0]]), genes=["a"])
    assert table.loc["a", ["pearson", "spearman", "r2"]].isna().all()
    assert table.loc["a", "rmse"] == 2.0


counts = hnp.arrays(np.float64, (9, 3), elements=st.integers(0, 50))


@given(measured=counts, predicted=counts, scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_correlations_ignore_scale_and_shift(measured, predicted, scale, shift):
    moved = predicted * scale + shift
    for score in (metrics.pearson, metrics.spearman):
        before, after = score(measured, predicted), score(measured, moved)
        np.testing.assert_allclose(before, after, atol=1e-6)
        np.testing.assert_array_equal(before, score(predicted, measured))
        assert ((np.abs(before) <= 1) | np.isnan(before)).all()


@given(measured=counts, predicted=counts)
def test_scores_ignore_the_order_of_spots_and_the_other_genes(measured, predicted):
    order = [4, 0, 8, 2, 6, 1, 7, 3, 5]
    for score in (metrics.pearson, metrics.spearman, metrics.r2, metrics.rmse):
        whole = score(measured, predicted)
        np.testing.assert_allclose(whole, score(measured[order], predicted[order]), atol=1e-12)
        np.testing.assert_allclose(whole[1:2], score(measured[:, 1:2], predicted[:, 1:2]))


@pytest.mark.parametrize("score", [metrics.pearson, metrics.spearman, metrics.r2, metrics.rmse])
def test_shapes_must_agree(score):
    with pytest.raises(ValueError, match=r"one shape .* not \(3, 2\) and \(2, 3\)"):
        score(np.ones((3, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="one shape"):
        score(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="no spots"):
        score(np.ones((0, 2)), np.ones((0, 2)))


def test_every_column_needs_a_name():
    with pytest.raises(ValueError, match="1 gene names for 2 columns"):
        metrics.per_gene(np.ones((3, 2)), np.ones((3, 2)), genes=["a"])
