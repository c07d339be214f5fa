from __future__ import annotations

import numpy as np
import pytest
import torch

from stflow.flow import PRIORS, ZINB, Gaussian, Zero, make_prior

N = 200_000


def draws(prior, seed: int = 0) -> torch.Tensor:
    return prior.sample((N,), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("mu", "phi", "pi"), [(0.2, 1.0, 0.5), (4.0, 2.5, 0.1), (1.0, 4.0, 0.0)])
def test_zinb_has_the_moments_of_its_parameters(mu: float, phi: float, pi: float) -> None:
    counts = torch.expm1(draws(ZINB(mu, phi, pi))).double()
    assert torch.allclose(counts, counts.round(), atol=1e-3)
    mean = (1 - pi) * mu
    variance = (1 - pi) * (mu + mu**2 / phi + mu**2) - mean**2
    zeros = pi + (1 - pi) * (phi / (phi + mu)) ** phi
    assert counts.mean().item() == pytest.approx(mean, abs=5 * np.sqrt(variance / N))
    assert counts.var().item() == pytest.approx(variance, rel=0.05)
    assert (counts < 0.5).double().mean().item() == pytest.approx(zeros, abs=5 / np.sqrt(4 * N))


def test_mu_is_a_mean_and_not_a_logit() -> None:
    """Negative control: a prior that took mu for a logit has a mean of 1.1 where 0.1 is meant."""
    counts = torch.expm1(draws(ZINB(0.1, 1.0, 0.0)))
    assert counts.mean().item() == pytest.approx(0.1, abs=0.01)


def test_zero_and_gaussian() -> None:
    assert not draws(Zero()).any()
    normal = draws(Gaussian())
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_generator_and_leave_the_global_state(name: str) -> None:
    prior = make_prior(name)
    before = torch.get_rng_state()
    assert torch.equal(draws(prior, 3), draws(prior, 3))
    assert torch.equal(before, torch.get_rng_state())
    if name != "zero":
        assert not torch.equal(draws(prior, 3), draws(prior, 4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mu": 0.0}, "`mu` and `phi` must be positive"),
        ({"phi": -1.0}, "`mu` and `phi` must be positive"),
        ({"pi": 1.5}, "`pi` must lie between 0 and 1"),
    ],
)
def test_parameters_out_of_range(parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_prior("zinb", **parameters)


def test_unknown_prior_lists_the_known() -> None:
    with pytest.raises(ValueError, match="'poisson'; available: 'zinb', 'zero', 'gaussian'"):
        make_prior("poisson")


def test_unknown_parameter_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"\['mu', 'phi', 'pi'\], not \['mean'\]"):
        make_prior("zinb", mean=1.0)
    with pytest.raises(ValueError, match=r"'zero' has parameters \[\], not \['mu'\]"):
        make_prior("zero", mu=1.0)
