"""Energy and variogram scores: by hand, in expectation, and what each can see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stflow.metrics import crps, energy_score, variogram_score

PAIR = np.array([[0, 1]])


def test_a_point_mass_scores_its_distance():
    measured = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(energy_score(measured, np.zeros((3, 2, 2))), [5.0, 0.0])


def test_energy_by_hand():
    samples = np.array([[0.0, 0.0], [6.0, 8.0]])
    assert energy_score(np.array([3.0, 4.0]), samples) == pytest.approx(5 - 10 / 2)


def test_vectors_of_one_entry_have_the_energy_of_the_crps(rng):
    measured, samples = rng.normal(size=(9, 3, 1)), rng.normal(size=(4, 9, 3, 1))
    energy = energy_score(measured, samples)
    assert energy.shape == (9, 3)
    np.testing.assert_allclose(energy.mean(axis=0), crps(measured[..., 0], samples[..., 0]))


def test_the_vector_is_the_last_axis(rng):
    measured, samples = rng.normal(size=(9, 3)), rng.normal(size=(4, 9, 3))
    assert energy_score(measured, samples).shape == (9,)
    assert energy_score(measured.T, samples.transpose(0, 2, 1)).shape == (3,)
    assert energy_score(measured.ravel(), samples.reshape(4, -1)).shape == ()
    np.testing.assert_allclose(
        energy_score(measured, samples)[2], energy_score(measured[2], samples[:, 2])
    )


def correlated(rng: np.random.Generator, *shape: int, rho: float) -> np.ndarray:
    """Pairs of standard normal numbers with correlation ``rho``."""
    x, y = rng.normal(size=(2, *shape))
    return np.stack([x, rho * x + np.sqrt(1 - rho**2) * y], axis=-1)


def test_few_samples_have_the_energy_of_many(rng):
    measured = correlated(rng, 20_000, rho=0.5)
    few = energy_score(measured, correlated(rng, 2, 20_000, rho=0.5)).mean()
    many = energy_score(measured, correlated(rng, 12, 20_000, rho=0.5)).mean()
    assert few == pytest.approx(many, abs=0.015)


def test_both_scores_see_a_lost_correlation(rng):
    measured = correlated(rng, 20_000, rho=0.9)
    right, wrong = (correlated(rng, 8, 20_000, rho=rho) for rho in (0.9, 0.0))
    assert crps(measured, right) == pytest.approx(crps(measured, wrong), abs=0.01)
    assert energy_score(measured, right).mean() < energy_score(measured, wrong).mean() - 0.01
    found = [variogram_score(measured, samples, PAIR).mean() for samples in (right, wrong)]
    assert found[0] < 0.6 * found[1]


def test_variogram_by_hand():
    measured = np.array([0.0, 4.0, 1.0])
    samples = np.array([[0.0, 1.0, 1.0], [9.0, 0.0, 9.0]])
    pairs = np.array([[0, 1], [2, 0]])
    expected = ((2 - (1 + 3) / 2) ** 2 + (1 - (1 + 0) / 2) ** 2) / 2
    assert variogram_score(measured, samples, pairs) == pytest.approx(expected)
    squares = ((16 - (1 + 81) / 2) ** 2 + (1 - (1 + 0) / 2) ** 2) / 2
    assert variogram_score(measured, samples, pairs, p=2) == pytest.approx(squares)
    both = variogram_score(np.stack([measured] * 2), np.stack([samples] * 2, axis=1), pairs)
    np.testing.assert_allclose(both, expected)


vectors = hnp.arrays(np.float64, (3, 4), elements=st.floats(-5, 5))
draws = hnp.arrays(np.float64, (3, 3, 4), elements=st.floats(-5, 5))


@given(measured=vectors, samples=draws, scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_scores_follow_scale_and_ignore_shift_and_the_order_of_samples(
    measured, samples, scale, shift
):
    pairs = np.array([[0, 1], [2, 3], [1, 3]])
    energy, variogram = energy_score(measured, samples), variogram_score(measured, samples, pairs)
    moved = scale * measured + shift, scale * samples[::-1] + shift
    np.testing.assert_allclose(energy_score(*moved), scale * energy, atol=1e-6)
    np.testing.assert_allclose(variogram_score(*moved, pairs), scale * variogram, atol=1e-5)
    np.testing.assert_allclose(variogram_score(measured, samples, pairs[:, ::-1]), variogram)
    assert (variogram >= 0).all()


def test_refusals():
    measured, samples = np.ones((3, 2)), np.ones((4, 3, 2))
    with pytest.raises(ValueError, match="At least 2 samples are needed, not 1"):
        energy_score(measured, samples[:1])
    with pytest.raises(ValueError, match=r"\('S', 3, 2\), not \(4, 2, 3\)"):
        energy_score(measured, samples.transpose(0, 2, 1))
    with pytest.raises(ValueError, match=r"single number is no vector; .*crps"):
        energy_score(np.array(1.0), np.ones(4))
    for pairs in (np.zeros((0, 2), dtype=int), np.array([0, 1]), np.array([[0, 1, 2]])):
        with pytest.raises(ValueError, match=r"`pairs` must have shape \(P, 2\)"):
            variogram_score(measured, samples, pairs)
    with pytest.raises(ValueError, match="`p` must be positive, not 0"):
        variogram_score(measured, samples, PAIR, p=0)
    with pytest.raises(IndexError, match="2 is out of bounds"):
        variogram_score(measured, samples, np.array([[0, 2]]))
