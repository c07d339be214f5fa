from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize
from torch import Tensor

from stflow.flow._counts import log_zinb, tally
from stflow.flow._maximum_likelihood import MU_MIN, PHI_BOUNDS, PI_MAX, _Likelihood, fit_zinb

NAMES = ("mu", "phi", "pi")
SETTINGS = [(0.4, 1.5, 0.0), (3.0, 2.0, 0.0), (6.0, 2.0, 0.5), (20.0, 0.8, 0.3), (90.0, 12.0, 0.9)]


def simulate(law: tuple[float, float, float], n_spots: int, n_genes: int, seed: int = 0) -> Tensor:
    mu, phi, pi = law
    rng = np.random.default_rng(seed)
    counts = rng.negative_binomial(phi, phi / (phi + mu), (n_spots, n_genes))
    return torch.tensor(counts * (rng.random(counts.shape) >= pi))


def various(n_spots: int, n_genes: int, seed: int = 0) -> Tensor:
    """Each gene of a law of its own."""
    rng = np.random.default_rng(seed)
    laws = zip(
        10 ** rng.uniform(-1.5, 2, n_genes),
        10 ** rng.uniform(-0.7, 1.5, n_genes),
        rng.choice([0, 0.2, 0.5, 0.8], n_genes),
        strict=True,
    )
    return torch.cat([simulate(law, n_spots, 1, seed + i) for i, law in enumerate(laws)], dim=1)


def fit(counts: Tensor, **fixed: float) -> dict[str, Tensor]:
    return fit_zinb(tally(counts), fixed)


def log_likelihood(counts: Tensor, law: dict[str, Tensor]) -> Tensor:
    return log_zinb(counts, *(law[name] for name in NAMES)).sum(0)


def information(counts: Tensor, law: dict[str, Tensor], names: list[str]) -> tuple[Tensor, Tensor]:
    """Gradient (G, P) and observed information (G, P, P), by automatic differentiation."""
    point = {name: value.clone().requires_grad_(name in names) for name, value in law.items()}
    total = log_likelihood(counts, point).sum()
    free = [point[name] for name in names]
    gradient = torch.autograd.grad(total, free, create_graph=True)
    rows = [torch.autograd.grad(part.sum(), free, retain_graph=True) for part in gradient]
    hessian = torch.stack([torch.stack(row, -1) for row in rows], -2)
    return torch.stack(gradient, -1).detach(), -hessian


@pytest.mark.parametrize("law", SETTINGS)
def test_parameters_are_recovered_within_their_standard_errors(law) -> None:
    names = ["mu", "phi", "pi"] if law[2] else ["mu", "phi"]
    counts = simulate(law, 1000, 200)
    fitted = fit(counts, **({} if law[2] else {"pi": 0.0}))
    gradient, observed = information(counts, fitted, names)
    covariance = torch.linalg.inv(observed)
    errors = covariance.diagonal(dim1=1, dim2=2).sqrt()
    assert (gradient * errors).abs().max() < 1e-4
    truth = torch.tensor([value for value, name in zip(law, NAMES, strict=True) if name in names])
    z = (torch.stack([fitted[name] for name in names], -1) - truth) / errors
    assert z.square().mean(0).sqrt().tolist() == pytest.approx([1] * len(names), abs=0.3)
    assert z.mean(0).tolist() == pytest.approx([0] * len(names), abs=0.3)


def test_standard_errors_tell_another_law() -> None:
    """Negative control: estimates of one law lie many standard errors from another."""
    counts = simulate((6.0, 2.0, 0.5), 1000, 20)
    fitted = fit(counts)
    _, observed = information(counts, fitted, list(NAMES))
    errors = torch.linalg.inv(observed).diagonal(dim1=1, dim2=2).sqrt()
    assert ((fitted["mu"] - 8.0).abs() > 4 * errors[:, 0]).all()
    assert ((fitted["pi"] - 0.3).abs() > 4 * errors[:, 2]).all()


HELD = [{}, {"pi": 0.0}, {"pi": 0.3}, {"mu": 2.0}, {"phi": 1.0}, {"mu": 2.0, "pi": 0.1}]


def best_of_scipy(counts: Tensor, fixed: dict[str, float]) -> float:
    """Highest log-likelihood of one gene that scipy finds from many starts."""
    y, times = counts.unique(return_counts=True)
    free = [name for name in NAMES if name not in fixed]
    box = {"mu": (-18.0, 12.0), "phi": np.log(PHI_BOUNDS), "pi": (0.0, PI_MAX)}

    def loss(x: np.ndarray) -> float:
        law = dict(fixed)
        law |= {n: v if n == "pi" else float(np.exp(v)) for n, v in zip(free, x, strict=True)}
        values = [torch.tensor(law[name], dtype=torch.float64) for name in NAMES]
        return -(log_zinb(y, *values) * times).sum().item()

    found = []
    for mu, phi, pi in product((1.0, 3.0), (0.1, 3.0), (0.01, 0.6)):
        start = {"mu": np.log(mu * counts.double().mean().item()), "phi": np.log(phi), "pi": pi}
        at = [start[name] for name in free]
        bounds = [box[name] for name in free]
        found.append(optimize.minimize(loss, at, bounds=bounds, options={"ftol": 1e-13}).fun)
    return -min(found)


@pytest.mark.parametrize("fixed", HELD, ids=str)
def test_likelihood_is_not_beaten_by_scipy(fixed: dict[str, float]) -> None:
    counts = various(120, 6, seed=3)
    reached = log_likelihood(counts, fit(counts, **fixed))
    expected = [best_of_scipy(counts[:, gene], fixed) for gene in range(6)]
    difference = reached.numpy() - np.array(expected)
    assert difference.min() > -1e-8
    assert difference.max() < 1e-3


@pytest.mark.parametrize("fixed", HELD, ids=str)
def test_likelihood_is_at_least_that_of_the_truth(fixed: dict[str, float]) -> None:
    law = {**dict(zip(NAMES, (4.0, 1.7, 0.4), strict=True)), **fixed}
    counts = simulate(tuple(law.values()), 300, 50)
    truth = {name: torch.full((50,), value, dtype=torch.float64) for name, value in law.items()}
    fitted = fit(counts, **fixed)
    assert (log_likelihood(counts, fitted) >= log_likelihood(counts, truth)).all()
    for name, value in fixed.items():
        assert (fitted[name] == value).all()


def test_fit_has_the_mean_and_the_zeros_of_the_counts() -> None:
    """Exact at a maximum: the mean always (phi free or not), the zeros where pi is not 0."""
    counts = various(400, 60)
    mean, zeros = counts.double().mean(0), (counts == 0).double().mean(0)
    for fixed in ({}, {"phi": 1.0}, {"pi": 0.0}):
        law = fit(counts, **fixed)
        torch.testing.assert_close((1 - law["pi"]) * law["mu"], mean, rtol=1e-6, atol=0)
        none = log_zinb(torch.tensor(0), *(law[name] for name in NAMES)).exp()
        inflated = law["pi"] > 0
        torch.testing.assert_close(none[inflated], zeros[inflated], rtol=1e-6, atol=0)
        assert inflated.any() != ("pi" in fixed)


@pytest.mark.parametrize("pi", [None, 0.0, 0.4])
def test_derivatives_are_those_of_the_value(pi: float | None) -> None:
    likelihood, h = _Likelihood(tally(various(50, 12)), pi), 1e-5
    theta = torch.randn(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = h * torch.eye(2, dtype=torch.float64)[..., None]
    state = likelihood.derivatives(theta)
    ahead, behind = (
        torch.stack([likelihood.derivatives(theta + sign * step) for step in steps])
        for sign in (1, -1)
    )
    by_a, by_b = (ahead - behind) / (2 * h)
    expected = torch.stack([by_a[0], by_b[0], by_a[1], by_a[2], by_b[2]])
    torch.testing.assert_close(state[1:], expected, rtol=1e-5, atol=1e-5)


def test_zero_inflation_is_found_where_it_is_and_only_there() -> None:
    inflated, plain = simulate((6.0, 2.0, 0.5), 2000, 30), simulate((6.0, 2.0, 0.0), 2000, 30)
    gain = {}
    for name, counts in (("inflated", inflated), ("plain", plain)):
        free, held = fit(counts), fit(counts, pi=0.0)
        gain[name] = log_likelihood(counts, free) - log_likelihood(counts, held)
        assert (gain[name] >= -1e-8).all()
    assert (gain["inflated"] > 50).all()
    assert (gain["plain"] < 10).all()
    pi = fit(plain)["pi"]
    assert (pi < 0.1).all()
    assert 0.2 < (pi == 0).double().mean() < 0.8


def test_gene_seen_nowhere() -> None:
    counts = torch.zeros(10, 1, dtype=torch.long)
    for fixed in ({}, {"pi": 0.0}, {"phi": 1.0}, {"pi": 0.5}):
        law = fit(counts, **fixed)
        assert law["mu"].item() == pytest.approx(MU_MIN)
        assert law["pi"].item() == fixed.get("pi", 0.0)
    assert fit(counts, mu=1.0, phi=1.0)["pi"].item() == pytest.approx(PI_MAX)
    assert fit(counts, mu=1.0, pi=0.0)["phi"].item() == pytest.approx(PHI_BOUNDS[0])


def test_gene_less_varied_than_poisson() -> None:
    counts = torch.tensor([[3, 4, 5, 4] * 20]).T
    law = fit(counts)
    assert law["phi"].item() == pytest.approx(PHI_BOUNDS[1])
    assert (law["mu"].item(), law["pi"].item()) == (pytest.approx(4), 0)
    assert fit(4 * counts * (torch.arange(80) % 2)[:, None], pi=0.0)["phi"].item() < 10


@pytest.mark.parametrize("count", [1, 7, 100_000])
def test_single_spot(count: int) -> None:
    law = fit(torch.tensor([[count]]))
    assert law["mu"].item() == pytest.approx(count)
    assert law["phi"].item() == pytest.approx(PHI_BOUNDS[1])
    assert law["pi"].item() == 0


def test_genes_are_fitted_apart() -> None:
    counts = various(200, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    whole, shuffled, some = fit(counts), fit(counts[:, order]), fit(counts[:, 7:12])
    for name in NAMES:
        torch.testing.assert_close(shuffled[name], whole[name][order], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(some[name], whole[name][7:12], rtol=1e-9, atol=1e-12)


def test_order_of_spots_and_repeats_change_nothing() -> None:
    counts = various(200, 40)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    once, shuffled, thrice = fit(counts), fit(counts[order]), fit(counts.repeat(3, 1))
    for name in NAMES:
        assert torch.equal(once[name], shuffled[name])
        torch.testing.assert_close(thrice[name], once[name], rtol=1e-4, atol=1e-6)


@given(
    counts=arrays(
        np.int64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.integers(0, 100_000)
    ),
    zeros=arrays(np.bool_, (6, 4)),
    fixed=st.sampled_from([*HELD, {"mu": 1.0, "phi": 2.0, "pi": 0.9}, {"mu": 5.0, "phi": 0.1}]),
)
def test_every_table_has_a_finite_fit(
    counts: np.ndarray, zeros: np.ndarray, fixed: dict[str, float]
) -> None:
    n_spots, n_genes = counts.shape
    table = torch.tensor(np.where(zeros[:n_spots, :n_genes], 0, counts))
    law = fit(table, **fixed)
    assert all(torch.isfinite(value).all() for value in law.values())
    assert (law["mu"] > 0).all()
    assert ((law["phi"] >= 0.99e-6) & (law["phi"] <= 1.01e6)).all()
    assert ((law["pi"] >= 0) & (law["pi"] < 1)).all()
    assert torch.isfinite(log_likelihood(table, law)).all()
