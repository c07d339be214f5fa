"""CRPS: closed forms, quadrature, fairness in expectation, laws and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats

from stflow.metrics import crps, crps_gaussian


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
        crps_gaussian(ones, ones, np.ones(2))
