"""Intervals cover what they claim: of normals, of samples, and of slides that share a shift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stflow.metrics import (
    central_interval,
    coverage,
    gaussian_interval,
    normal_sd,
    shifted_interval,
)


def test_coverage_counts_the_ends():
    measured = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    lower, upper = np.full((4, 2), 1.0), np.full((4, 2), 2.0)
    np.testing.assert_array_equal(coverage(measured, lower, upper), [0.5, 0.0])


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_intervals_of_known_normals_cover_what_they_claim(rng, level):
    mean, sd = rng.normal(size=(20_000, 2)), rng.uniform(0.5, 2, size=(20_000, 2))
    measured = rng.normal(mean, sd)
    found = coverage(measured, *gaussian_interval(mean, sd, level=level))
    assert found == pytest.approx([level, level], abs=0.012)
    samples = rng.normal(mean, sd, size=(400, 20_000, 2))
    found = coverage(measured, *central_interval(samples, level=level))
    assert found == pytest.approx([level, level], abs=0.015)
    proud = coverage(measured, *gaussian_interval(mean, sd / 2, level=level))
    assert (proud < level - 0.15).all()


def test_intervals_are_those_of_scipy_and_numpy(rng):
    mean, sd = rng.normal(size=(6, 2)), rng.uniform(0.5, 2, size=(6, 2))
    np.testing.assert_allclose(
        gaussian_interval(mean, sd, level=0.8), stats.norm.interval(0.8, mean, sd)
    )
    assert (gaussian_interval(np.zeros((1, 1)), np.ones((1, 1)), level=0.5)[0] < 0).all()
    lower, upper = central_interval(np.arange(99.0)[:, None, None], level=0.9)
    assert (lower, upper) == (pytest.approx(4.0), pytest.approx(94.0))


@pytest.mark.parametrize(("n", "level"), [(3, 0.5), (9, 0.8), (19, 0.9), (25, 0.9)])
def test_few_samples_cover_as_much_as_many(rng, n: int, level: float):
    draws = rng.exponential(size=(n + 1, 20_000, 1))
    found = coverage(draws[0], *central_interval(draws[1:], level=level))
    assert found == pytest.approx([level], abs=0.012)
    control = coverage(
        draws[0], *np.quantile(draws[1:], [0.5 - level / 2, 0.5 + level / 2], axis=0)
    )
    assert (control < level - 0.05).all()


@pytest.mark.parametrize("df", [1, 3])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_slides_that_a_shift_moves_are_covered(rng, df, level):
    """Many slides of a few spots, each moved as a whole by a t of known scale."""
    shift, sd_spot = np.array([0.3, 0.05]), 0.4
    moved = shift * stats.t.rvs(df, size=(10_000, 2), random_state=rng)
    measured = (moved[:, None] + rng.normal(0, sd_spot, size=(10_000, 8, 2))).reshape(-1, 2)
    sd = np.broadcast_to(np.hypot(sd_spot, normal_sd(df) * shift), measured.shape)
    mean = np.zeros_like(measured)
    found = coverage(measured, *shifted_interval(mean, sd, shift=shift, df=df, level=level))
    assert found == pytest.approx([level, level], abs=0.012)
    alone = np.full_like(measured, sd_spot)
    proud = coverage(measured, *gaussian_interval(mean, alone, level=level))
    assert (proud < [level - 0.07, level - 0.003]).all()


@pytest.mark.parametrize(("n_patients", "most"), [(2, 0.1), (4, 0.04)])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_a_shift_learned_from_few_patients_errs_wide(rng, n_patients, most, level):
    """A new patient's shift, less the mean of those known, is a t times the spread of these."""
    known = rng.normal(0, 0.5, size=(n_patients, 20_000))
    shift = known.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n_patients)
    df, sd_spot = n_patients - 1, 0.8
    measured = rng.normal(0, 0.5, size=20_000) + rng.normal(0, sd_spot, size=(10, 20_000))
    mean = np.broadcast_to(known.mean(axis=0), measured.shape)
    sd = np.broadcast_to(np.hypot(sd_spot, normal_sd(df) * shift), measured.shape)
    found = coverage(measured, *shifted_interval(mean, sd, shift=shift, df=df, level=level))
    assert level - 0.01 < found.mean() < level + most
    control = gaussian_interval(mean, np.full_like(measured, sd_spot), level=level)
    assert coverage(measured, *control).mean() < level - 0.04


def test_without_a_shift_or_with_a_known_one_the_interval_is_normal(rng):
    mean, sd = rng.normal(size=(6, 3)), rng.uniform(0, 2, size=(6, 3))
    sd[0] = 0
    for level in (0.1, 0.5, 0.9, 0.999):
        expected = gaussian_interval(mean, sd, level=level)
        for shift, df in ((0.0, 1.0), (np.zeros(3), 3.0), (np.full(3, 0.4), np.inf)):
            found = shifted_interval(mean, sd, shift=shift, df=df, level=level)
            np.testing.assert_array_equal(found, expected)
        mixed = shifted_interval(mean, sd, shift=np.array([0, 0.1, 0]), df=1, level=level)
        np.testing.assert_array_equal(mixed[0][:, ::2], expected[0][:, ::2])
        assert (mixed[1][1:, 1] != expected[1][1:, 1]).all()


@pytest.mark.parametrize("df", [1, 2, 7.5])
def test_a_shift_and_nothing_else_has_quantiles_of_t(df):
    shift = np.array([0.2, 3.0])
    sd = np.full((4, 2), normal_sd(df)) * shift
    for level in (0.5, 0.8, 0.99):
        lower, upper = shifted_interval(np.ones((4, 2)), sd, shift=shift, df=df, level=level)
        half = np.tile(shift * stats.t.ppf(0.5 + level / 2, df), (4, 1))
        np.testing.assert_allclose((1 - lower, upper - 1), (half, half), rtol=1e-9)
        # A shift larger than sd holds cannot widen it further.
        larger = shifted_interval(np.ones((4, 2)), sd, shift=2 * shift, df=df, level=level)
        np.testing.assert_allclose(larger, (lower, upper))


@given(
    share=st.floats(0, 1),
    df=st.sampled_from([1.0, 2.0, 3.0, 30.0, np.inf]),
    percent=st.sampled_from([1, 49, 50, 79, 89, 98]),
    scale=st.floats(0.01, 100),
)
def test_intervals_are_symmetric_nested_and_have_the_unit_of_expression(share, df, percent, scale):
    mean, sd = np.array([[3.0]]), np.array([[0.7]])
    shift = np.sqrt(share) * sd[0] / normal_sd(df)

    def half(level: float, unit: float = 1.0) -> float:
        lower, upper = shifted_interval(
            unit * mean, unit * sd, shift=unit * shift, df=df, level=level
        )
        assert upper - unit * mean == pytest.approx(unit * mean - lower, rel=1e-6)
        return float((upper - lower)[0, 0])

    assert half(percent / 100) < half((percent + 1) / 100)
    assert half(percent / 100, scale) == pytest.approx(scale * half(percent / 100), rel=1e-6)


def test_interval_refusals():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"shape \(3, 2\), standard deviations \(2,\)"):
        gaussian_interval(ones, np.ones(2), level=0.5)
    with pytest.raises(ValueError, match="6 intervals end before they start"):
        coverage(ones, ones, ones - 1)
    for level in (0.0, 1.0, 50):
        for interval in (
            lambda level: gaussian_interval(ones, ones, level=level),
            lambda level: central_interval(ones, level=level),
            lambda level: shifted_interval(ones, ones, shift=0.1, df=2, level=level),
        ):
            with pytest.raises(ValueError, match=f"between 0 and 1, not {level}"):
                interval(level)
    for df in (0, 0.5, -1, np.nan):
        with pytest.raises(ValueError, match=f"`df` must be at least 1, or infinite, not {df}"):
            shifted_interval(ones, ones, shift=0.1, df=df, level=0.5)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), shifts \(3,\), not one a gene"):
        shifted_interval(ones, ones, shift=np.ones(3), df=2, level=0.5)
    for shift in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="Shifts must be finite and at least 0"):
            shifted_interval(ones, ones, shift=shift, df=2, level=0.5)
    with pytest.raises(ValueError, match="6 standard deviations are negative"):
        shifted_interval(ones, -ones, shift=0.1, df=2, level=0.5)
