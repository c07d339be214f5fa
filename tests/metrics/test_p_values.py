"""Cauchy's rule by hand and under the null, rates of false discovery as scipy has them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from stflow.metrics import combine_p_values, false_discovery_rate


def test_cauchys_rule_by_hand():
    p = np.array([[0.5, 0.25, 0.01], [0.5, 0.75, 0.01], [0.5, 0.25, 0.01]])
    expected = [0.5, stats.cauchy.sf(1 / 3), 0.01]
    np.testing.assert_allclose(combine_p_values(p), expected)
    np.testing.assert_allclose(combine_p_values(p[:1]), p[0])


def test_independent_and_equal_slides_keep_the_level(rng):
    independent = rng.uniform(size=(3, 20000))
    equal = np.repeat(independent[:1], 3, axis=0)
    for p in (independent, equal):
        assert (combine_p_values(p) < 0.05).mean() == pytest.approx(0.05, abs=0.005)


def test_one_strong_slide_is_enough_and_none_is_not():
    strong = combine_p_values(np.array([[1e-8, 0.5], [0.4, 0.5], [0.7, 0.2]]))
    assert strong[0] == pytest.approx(3e-8, rel=1e-3)
    assert strong[1] > 0.2


def test_missing_slides_are_left_out():
    p = np.array([[0.02, np.nan, np.nan], [np.nan, np.nan, 0.3], [0.04, np.nan, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = combine_p_values(p)
    np.testing.assert_allclose(found[[0, 2]], [combine_p_values(p[[0, 2], :1])[0], 0.3])
    assert np.isnan(found[1])


def test_0_and_1_give_no_infinity():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = combine_p_values(np.array([[0.0, 1.0, 0.0, 1.0], [0.5, 0.5, 0.0, 1.0]]))
    assert np.isfinite(found).all()
    assert (found[[0, 2]] < 1e-200).all()
    np.testing.assert_allclose(found[[1, 3]], 1.0)


@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(1e-9, 1 - 1e-9)))
def test_the_order_of_slides_does_not_matter_and_smaller_is_smaller(p):
    found = combine_p_values(p)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(combine_p_values(p[::-1]), found, rtol=1e-6)
    assert (combine_p_values(p / 2) <= found).all()


def test_rates_are_scipys_over_the_genes_that_have_one(rng):
    p = rng.uniform(size=30) ** 3
    p[[3, 17]] = np.nan
    found = false_discovery_rate(p)
    known = ~np.isnan(p)
    np.testing.assert_allclose(found[known], stats.false_discovery_control(p[known]))
    assert np.isnan(found[~known]).all()
    assert np.isnan(false_discovery_rate(np.full(3, np.nan))).all()
    assert false_discovery_rate(np.zeros(0)).shape == (0,)


def test_refusals():
    with pytest.raises(ValueError, match=r"shape \(slides, genes\), not \(3,\)"):
        combine_p_values(np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(genes,\), not \(1, 3\)"):
        false_discovery_rate(np.ones((1, 3)))
    with pytest.raises(ValueError, match="2 p-values are not between 0 and 1"):
        combine_p_values(np.array([[0.1, -0.1], [1.1, 1.0]]))
