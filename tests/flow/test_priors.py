from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import SHAPE, SMALL
from torch import Tensor

import stflow as stf
from stflow.flow import (
    NB,
    PRIORS,
    ZINB,
    Empirical,
    Gaussian,
    Prior,
    Zero,
    fit_prior,
    make_prior,
    require_prior,
)
from stflow.flow._priors import MAX_ROWS

N = 200_000
COUNTS = torch.tensor(np.random.default_rng(0).negative_binomial(1.5, 0.2, (300, 4)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(prior: Prior, seed: int = 0) -> Tensor:
    return prior.sample((N,), generator(seed))


def fitted(name: str, counts: Tensor = COUNTS, **parameters: float) -> Prior:
    return fit_prior(name, counts, parameters, generator=generator())


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


def test_nb_is_zinb_without_inflation() -> None:
    assert torch.equal(draws(NB(3.0, 2.0)), draws(ZINB(3.0, 2.0, 0.0)))
    assert not torch.equal(draws(NB(3.0, 2.0)), draws(ZINB(3.0, 2.0, 0.2)))
    counts = torch.arange(50)
    assert torch.equal(NB(3.0, 2.0).log_prob(counts), ZINB(3.0, 2.0, 0.0).log_prob(counts))


@pytest.mark.parametrize("phi", [1e-6, 1e6])
def test_bounds_of_phi_can_be_drawn_from(phi: float) -> None:
    counts = torch.expm1(draws(NB(3.0, phi)))
    assert torch.isfinite(counts).all()
    if phi > 1:
        assert counts.var().item() == pytest.approx(3.0, rel=0.03)
    else:
        assert (counts > 0).double().mean() < 1e-3


def test_each_gene_has_its_own_law() -> None:
    prior = ZINB(torch.tensor([0.5, 8.0]), torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5]))
    values = prior.sample((3, 20_000, 2), generator())
    assert values.shape == (3, 20_000, 2)
    assert torch.expm1(values).mean((0, 1)).tolist() == pytest.approx([0.5, 4.0], rel=0.05)
    frequencies = (values.flatten(0, 1) == 0).double().mean(0)
    expected = prior.log_prob(torch.zeros(2)).exp()
    torch.testing.assert_close(frequencies, expected, rtol=0, atol=0.02)


def test_zero_and_gaussian() -> None:
    assert not draws(Zero()).any()
    normal = draws(Gaussian())
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)


def test_empirical_draws_each_gene_apart_from_its_own_counts() -> None:
    counts = torch.tensor([[0, 100], [1, 200], [5, 300]])
    values = torch.expm1(Empirical(counts).sample((2, 30_000, 2), generator())).round()
    for gene in (0, 1):
        seen, times = values[..., gene].unique(return_counts=True)
        assert seen.tolist() == counts[:, gene].tolist()
        assert (times / 60_000).tolist() == pytest.approx([1 / 3] * 3, abs=0.01)
    pairs = values.flatten(0, 1).unique(dim=0)
    assert len(pairs) == 9


def test_empirical_keeps_a_random_part_of_many_spots() -> None:
    counts = torch.arange(MAX_ROWS + 500)[:, None]
    assert len(fitted("empirical").counts) == len(COUNTS)
    kept = fitted("empirical", counts).counts
    assert len(kept.unique()) == MAX_ROWS
    assert kept.max() > MAX_ROWS
    other = fit_prior("empirical", counts, {}, generator=generator(1)).counts
    assert not torch.equal(kept, other)


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_generator_and_leave_the_global_state(name: str) -> None:
    before = torch.get_rng_state()
    prior, again = fitted(name), fitted(name)
    first, second = (p.sample((50, 4), generator(3)) for p in (prior, again))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
    assert first.dtype == torch.float32
    assert first.shape == (50, 4)
    if name != "zero":
        assert not torch.equal(first, prior.sample((50, 4), generator(4)))


@pytest.mark.parametrize("name", PRIORS)
def test_state_makes_the_same_prior(name: str) -> None:
    prior = fitted(name)
    rebuilt = make_prior(name, n_genes=4, n_rows=300)
    rebuilt.load_state_dict(prior.state_dict())
    assert torch.equal(rebuilt.sample((9, 4), generator()), prior.sample((9, 4), generator()))
    assert not list(prior.parameters())


def test_fit_keeps_what_is_given_and_estimates_the_rest() -> None:
    prior = fitted("zinb", mu=0.2, pi=0.5)
    assert isinstance(prior, ZINB)
    assert prior.mu.tolist() == pytest.approx([0.2] * 4)
    assert prior.pi.tolist() == [0.5] * 4
    assert len(prior.phi.unique()) == 4
    assert fitted("nb").mu.tolist() == pytest.approx(COUNTS.double().mean(0).tolist())
    everything = fitted("zinb", mu=0.2, phi=1, pi=0.5)
    assert everything.phi.tolist() == [1.0] * 4


def test_fitted_law_is_likelier_than_that_of_another_gene() -> None:
    counts = COUNTS * torch.tensor([1, 3, 9, 27])
    prior = fitted("nb", counts)
    own = prior.log_prob(counts).sum(0)
    shifted = prior.log_prob(counts.roll(1, dims=1)).sum(0)
    assert (own > shifted.roll(-1) + 10).all()


def test_gaussian_and_zero_take_any_values() -> None:
    for name in ("gaussian", "zero"):
        assert isinstance(fitted(name, torch.tensor([[-0.5, 2.2]])), PRIORS[name])


@pytest.mark.parametrize("name", ["zinb", "nb", "empirical"])
def test_what_is_no_raw_count_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"non-integer values in 4 of 4 .* prior '{name}' needs"):
        fitted(name, torch.log1p(COUNTS))
    with pytest.raises(ValueError, match="negative values"):
        fitted(name, -COUNTS)
    with pytest.raises(ValueError, match="has 0 spots and 4 genes"):
        fitted(name, COUNTS[:0])
    with pytest.raises(ValueError, match=r"shape \(4,\), not \(spots, genes\)"):
        fitted(name, COUNTS[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mu": 0.0}, "`mu` must be positive and finite, not 0.0"),
        ({"phi": -1.0}, "`phi` must be positive and finite, not -1.0"),
        ({"phi": float("inf")}, "`phi` must be positive and finite, not inf"),
        ({"mu": float("nan")}, "`mu` must be positive and finite, not nan"),
        ({"pi": 1.0}, r"`pi` must lie in \[0, 1\), not 1.0"),
        ({"pi": -0.1}, r"`pi` must lie in \[0, 1\), not -0.1"),
    ],
)
def test_parameters_out_of_range(parameters: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_prior("zinb", parameters)
    with pytest.raises(ValueError, match=message):
        fitted("zinb", **parameters)


def test_parameter_that_is_no_number() -> None:
    with pytest.raises(TypeError, match="`mu` must be a number, not 'low'"):
        require_prior("nb", {"mu": "low"})


def test_unknown_prior_lists_the_known() -> None:
    message = "'poisson'; available: 'nb', 'zinb', 'zero', 'gaussian', 'empirical'"
    with pytest.raises(ValueError, match=message):
        require_prior("poisson", {})
    with pytest.raises(ValueError, match=message):
        make_prior("poisson", n_genes=3)


def test_unknown_parameter_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"\['mu', 'phi', 'pi'\], not \['mean'\]"):
        require_prior("zinb", {"mean": 1.0})
    with pytest.raises(ValueError, match=r"'nb' has parameters \['mu', 'phi'\], not \['pi'\]"):
        require_prior("nb", {"pi": 0.5})
    with pytest.raises(ValueError, match=r"'zero' has parameters \[\], not \['mu'\]"):
        require_prior("zero", {"mu": 1.0})


def test_real_tissue(data_dir: Path) -> None:
    """Fitted laws tell the share of zeros of real genes; one law for all genes does not."""
    sdata = stf.datasets.her2st("C2", root=data_dir / "her2st")
    counts = torch.tensor(sdata["table"].X.toarray())
    nb, zinb = fitted("nb", counts), fitted("zinb", counts)
    paper = fitted("zinb", counts, mu=0.2, phi=1.0, pi=0.5)
    likelihoods = [prior.log_prob(counts).sum().item() for prior in (zinb, nb, paper)]
    assert likelihoods == sorted(likelihoods, reverse=True)
    assert torch.isfinite(zinb.sample(tuple(counts.shape), generator())).all()
    zeros, none = (counts == 0).double().mean(0), torch.zeros(counts.shape[1])
    assert (nb.log_prob(none).exp() - zeros).abs().mean() < 0.01
    assert (paper.log_prob(none).exp() - zeros).abs().mean() > 0.05


@pytest.fixture
def _constant():
    """A prior of one's own: a class with a name."""

    class Constant(Prior, name="constant"):
        def sample(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
            return torch.full(shape, 0.5)

    yield
    del PRIORS["constant"]


@pytest.mark.usefixtures("_constant")
def test_a_prior_of_ones_own_is_one_class(tissue, tmp_path) -> None:
    small = {**SMALL, "config": {**SHAPE, "prior": "constant"}, "max_epochs": 1}
    train = {name: tissue[name] for name in ("S2", "S3")}
    model = stf.tl.fit(train, ["GENE001", "GENE002"], **small)
    assert "constant prior" in repr(model)
    model.save(tmp_path / "model")
    loaded = stf.STFlow.load(tmp_path / "model")
    first, second = (stf.tl.predict(tissue["S1"], m, inplace=False) for m in (model, loaded))
    assert np.array_equal(first.obsm["stflow"], second.obsm["stflow"])


def test_a_prior_that_is_not_there_is_refused(tissue) -> None:
    """Control: without its class, the name is unknown."""
    with pytest.raises(ValueError, match="`prior` is 'constant'; available: 'nb'"):
        stf.tl.fit(tissue, ["GENE001"], config={"prior": "constant"})
