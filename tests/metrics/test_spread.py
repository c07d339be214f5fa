"""CRPS and coverage: closed forms, quadrature, fairness in expectation, laws and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from stflow.metrics import central_interval, coverage, crps, crps_gaussian, gaussian_interval


def test_the_closed_form_is_the_integral():
    measured = np.array([[-1.3, 0.2, 4.0]])
    mean, sd = np.array([[0.0, 0.2, 1.0]]), np.array([[1.0, 0.5, 0.3]])

    def integral(y: float, mu: float, sigma: float) -> float:
        """The score by its definition: squared distance of the two distribution functions."""
        below = integrate.quad(lambda x: stats.norm.cdf(x, mu, sigma) ** 2, -12, y)[0]
        above = integrate.quad(lambda x: stats.norm.sf(x, mu, sigma) ** 2, y, 12)[0]
        return below + above

    expected = [integral(*each) for each in zip(measured[0], mean[0], sd[0], strict=True)]
    np.testing.assert_allclose(crps_gaussian(measured, mean, sd), expected, rtol=1e-6)


def test_a_certain_prediction_scores_its_absolute_error():
    measured, mean = np.array([[1.0], [4.0]]), np.array([[2.0], [1.0]])
    assert crps_gaussian(measured, mean, np.zeros((2, 1))) == pytest.approx([2.0])
    assert crps_gaussian(measured, mean, np.full((2, 1), 1e-9)) == pytest.approx([2.0])
    assert crps(measured, np.stack([mean] * 3)) == pytest.approx([2.0])


def test_sorted_samples_score_as_all_pairs_do(rng):
    measured, samples = rng.normal(size=(5, 3)), rng.normal(size=(7, 5, 3))
    pairs = np.abs(samples[:, None] - samples[None]).sum(axis=(0, 1)) / (2 * 7 * 6)
    expected = (np.abs(samples - measured).mean(axis=0) - pairs).mean(axis=0)
    np.testing.assert_allclose(crps(measured, samples), expected)
    by_hand = crps(np.array([[2.0]]), np.array([[[1.0]], [[5.0]]]))
    assert by_hand == pytest.approx([(1 + 3) / 2 - 4 / 2])


def test_few_samples_are_as_fair_as_the_distribution(rng):
    measured = rng.normal(size=(60_000, 1))
    exact = crps_gaussian(measured, np.zeros_like(measured), np.ones_like(measured))
    assert exact == pytest.approx([1 / np.sqrt(np.pi)], abs=0.01)
    for n_samples in (2, 5):
        samples = rng.normal(size=(n_samples, 60_000, 1))
        assert crps(measured, samples) == pytest.approx(exact, abs=0.01)
        biased = np.abs(samples[:, None] - samples[None]).mean(axis=(0, 1)).mean() / 2
        unfair = np.abs(samples - measured).mean() - biased
        assert unfair > exact + 0.05


def test_honest_spread_beats_too_little_and_too_much(rng):
    measured = rng.normal(size=(20_000, 1))
    mean = np.zeros_like(measured)
    for score in (
        lambda sd: crps_gaussian(measured, mean, np.full_like(mean, sd)),
        lambda sd: crps(measured, sd * rng.normal(size=(8, 20_000, 1))),
    ):
        assert score(1.0) < score(0.4) - 0.02
        assert score(1.0) < score(2.5) - 0.02


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


values = hnp.arrays(np.float64, (4, 2), elements=st.floats(-5, 5))
spreads = hnp.arrays(np.float64, (4, 2), elements=st.floats(0, 3))


@given(measured=values, mean=values, sd=spreads, scale=st.floats(0.1, 10))
def test_the_gaussian_score_is_positive_and_has_the_unit_of_expression(measured, mean, sd, scale):
    score = crps_gaussian(measured, mean, sd)
    assert (score >= 0).all()
    least = np.abs(measured - mean) - sd / np.sqrt(np.pi)
    assert (score >= least.mean(axis=0) - 1e-12).all()
    scaled = crps_gaussian(scale * measured, scale * mean, scale * sd)
    np.testing.assert_allclose(scaled, scale * score, atol=1e-9)


@given(
    measured=values,
    samples=hnp.arrays(np.float64, (3, 4, 2), elements=st.floats(-5, 5)),
    scale=st.floats(0.1, 10),
)
def test_the_score_of_samples_follows_scale_shift_and_order(measured, samples, scale):
    score = crps(measured, samples)
    moved = crps(scale * measured + 1, scale * samples + 1)
    np.testing.assert_allclose(moved, scale * score, atol=1e-9)
    np.testing.assert_allclose(crps(measured, samples[[2, 0, 1]]), score, atol=1e-12)
    np.testing.assert_allclose(crps(-measured, -samples), score, atol=1e-12)


def test_refusals():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match="At least 2 samples are needed, not 1"):
        crps(ones, ones[None])
    with pytest.raises(ValueError, match=r"\('S', 3, 2\), not \(4, 2, 3\)"):
        crps(ones, np.ones((4, 2, 3)))
    with pytest.raises(ValueError, match=r"must be \(spots, genes\), not \(3,\)"):
        crps(np.ones(3), np.ones((4, 3)))
    with pytest.raises(ValueError, match="no spots"):
        crps(np.ones((0, 2)), np.ones((4, 0, 2)))
    with pytest.raises(ValueError, match="1 standard deviations are negative"):
        crps_gaussian(ones, ones, np.array([[1, 1], [1, -1], [1, 1]]))
    with pytest.raises(ValueError, match=r"shape \(3, 2\), standard deviations \(2,\)"):
        gaussian_interval(ones, np.ones(2), level=0.5)
    with pytest.raises(ValueError, match="6 intervals end before they start"):
        coverage(ones, ones, ones - 1)
    for level in (0.0, 1.0, 50):
        with pytest.raises(ValueError, match=f"between 0 and 1, not {level}"):
            gaussian_interval(ones, ones, level=level)
        with pytest.raises(ValueError, match=f"between 0 and 1, not {level}"):
            central_interval(ones, level=level)
