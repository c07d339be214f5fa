"""Quantiles of a t and a normal together: quadrature, draws, and both ends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats

from stflow.metrics import normal_sd
from stflow.metrics._shifted import shifted_quantile

LEVELS = [0.05, 0.5, 0.8, 0.9, 0.95, 0.99]


def inside(half: float, share: float, df: float) -> float:
    """Probability that the sum lies within ``half`` of 0, by integration over the normal."""
    scale, sd = np.sqrt(share) / normal_sd(df), np.sqrt(1 - share)

    def mass(z: float) -> float:
        low, high = special.stdtr(df, [(-half - sd * z) / scale, (half - sd * z) / scale])
        return (high - low) * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)

    edge, soft = half / sd, 4 * scale / sd
    cuts = sorted({min(max(x, 0.0), 9.0) for x in (0.0, edge - soft, edge, edge + soft, 9.0)})
    return 2 * sum(integrate.quad(mass, *part, epsabs=1e-10)[0] for part in pairwise(cuts))


@pytest.mark.parametrize("df", [1, 1.5, 2, 3, 40])
@pytest.mark.parametrize("share", [0.001, 0.03, 0.317, 0.83, 0.995])
def test_quantiles_are_those_of_quadrature_to_a_thousandth(df: float, share: float):
    for level in LEVELS:
        found = float(shifted_quantile(np.array(share), df=df, level=level))
        assert inside(0.999 * found, share, df) < level < inside(1.001 * found, share, df)


def test_draws_of_two_patients_agree(rng):
    """One degree of freedom, whose tails are heavier than any variance can tell."""
    n = 500_000
    t, normal = stats.t.rvs(1, size=n, random_state=rng), rng.normal(size=n)
    for share in (0.02, 0.4, 0.9):
        draws = np.abs(np.sqrt(share) / normal_sd(1) * t + np.sqrt(1 - share) * normal)
        for level in (0.5, 0.9, 0.99):
            found = shifted_quantile(share, df=1, level=level)
            assert (draws <= found).mean() == pytest.approx(level, abs=0.002)
        as_if_normal = (draws <= stats.norm.ppf(0.995)).mean()
        assert as_if_normal < 0.99 - share / 20


@pytest.mark.parametrize("df", [1, 4, np.inf])
def test_the_ends_are_the_normal_and_the_t(df: float):
    for level in LEVELS:
        low, high = shifted_quantile(np.array([0.0, 1.0]), df=df, level=level)
        assert low == pytest.approx(stats.norm.ppf(0.5 + level / 2), rel=1e-12)
        assert high == pytest.approx(stats.t.ppf(0.5 + level / 2, df) / normal_sd(df), rel=1e-9)


def test_normal_and_t_are_equally_wide_at_80():
    for df in (1, 3, 200):
        half = stats.norm.ppf(0.9) * normal_sd(df)
        assert stats.t.cdf(half, df) - stats.t.cdf(-half, df) == pytest.approx(0.8)
    assert normal_sd(np.inf) == 1.0
    assert normal_sd(1) > normal_sd(2) > normal_sd(50) > 1
    with pytest.raises(ValueError, match="`df` must be at least 1, or infinite, not 0"):
        normal_sd(0)
