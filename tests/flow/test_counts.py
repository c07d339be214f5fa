from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from stflow.flow._counts import N_SINGLE, log_zinb, require_counts, tally

COUNTS = torch.tensor([0, 1, 2, 7, 16, 17, 300, 100_000])


def double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def mixed_counts(n_spots: int = 40, n_genes: int = 7, seed: int = 0) -> Tensor:
    """Counts below, at and far above the ones that are tallied one by one."""
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.negative_binomial(0.4, 0.4 / (0.4 + 20), (n_spots, n_genes)))


@pytest.mark.parametrize("phi", [1e-6, 1e-3, 0.5, 1.0, 25.0, 999.0, 1001.0, 1e6])
@pytest.mark.parametrize("mu", [1e-3, 1.0, 80.0, 1e5])
def test_log_likelihood_is_scipys(mu: float, phi: float) -> None:
    expected = stats.nbinom.logpmf(COUNTS.numpy(), phi, phi / (phi + mu))
    np.testing.assert_allclose(log_zinb(COUNTS, *double(mu, phi, 0.0)), expected, 1e-7, 1e-7)
    kept = np.log1p(-0.3) + expected
    inflated = np.where(COUNTS == 0, np.logaddexp(np.log(0.3), kept), kept)
    np.testing.assert_allclose(log_zinb(COUNTS, *double(mu, phi, 0.3)), inflated, 1e-7, 1e-7)


def test_log_likelihood_tends_to_that_of_poisson() -> None:
    counts = torch.arange(30)
    expected = stats.poisson.logpmf(counts.numpy(), 3.0)
    np.testing.assert_allclose(log_zinb(counts, *double(3.0, 1e10, 0.0)), expected, rtol=1e-7)
    overdispersed = log_zinb(counts, *double(3.0, 1.0, 0.0))
    assert np.abs(overdispersed.numpy() - expected).max() > 1


@pytest.mark.parametrize("pi", [0.0, 0.3])
def test_probabilities_sum_to_one(pi: float) -> None:
    total = log_zinb(torch.arange(2000), *double(20.0, 1.5, pi)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("phi", [1e-6, 0.01, 1.0, 40.0, 1e4])
def test_sums_over_spots_are_those_of_gamma_functions(phi: float) -> None:
    counts = mixed_counts()
    b = torch.full((7,), np.log(phi), dtype=torch.float64)
    value, first, second = tally(counts).log_rising(b.exp())
    y = counts.double()
    direct = (torch.lgamma(y + phi) - np.log(phi) * y).sum(0) - 40 * torch.lgamma(b.exp())
    slope = phi * (torch.digamma(y + phi) - torch.digamma(b.exp())).sum(0) - y.sum(0)
    curves = torch.polygamma(1, y + phi) - torch.polygamma(1, b.exp())
    curve = slope + y.sum(0) + phi**2 * curves.sum(0)
    torch.testing.assert_close(value, direct, rtol=1e-8, atol=1e-6)
    torch.testing.assert_close(first, slope, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(second, curve, rtol=1e-5, atol=1e-6)


def test_table_of_known_counts() -> None:
    counts = torch.tensor([[0, 18], [1, 18], [3, 2], [100, 0]])
    table = tally(counts)
    assert table.n_spots == 4
    assert table.total.tolist() == [104, 38]
    assert table.n_positive.tolist() == [3, 3]
    assert table.above[:4].T.tolist() == [[3, 2, 2, 1], [3, 3, 2, 2]]
    assert table.above[N_SINGLE - 1].tolist() == [1, 2]
    large = zip(table.gene.tolist(), table.excess.tolist(), table.weight.tolist(), strict=True)
    assert list(large) == [(0, 100 - N_SINGLE, 1), (1, 18 - N_SINGLE, 2)]


def test_table_grows_with_distinct_counts_not_with_spots() -> None:
    counts = mixed_counts()
    once, often = tally(counts), tally(counts.repeat(50, 1))
    assert len(often.gene) == len(once.gene) > 0
    assert torch.equal(often.weight, 50 * once.weight)
    assert len(tally(mixed_counts(seed=1)).gene) != len(once.gene)


def test_tally_by_blocks_is_the_tally_of_each_gene(monkeypatch) -> None:
    counts = mixed_counts(20, 11)
    monkeypatch.setattr("stflow.flow._counts.AT_ONCE", 20 * 4)
    table = tally(counts)
    for gene in (0, 3, 4, 10):
        alone = tally(counts[:, [gene]])
        assert torch.equal(table.above[:, gene], alone.above[:, 0])
        assert torch.equal(table.excess[table.gene == gene], alone.excess)


def test_part_of_a_table_is_the_table_of_a_part() -> None:
    counts = mixed_counts()
    genes = torch.tensor([True, False, True, True, False, False, True])
    part, alone = tally(counts).take(genes), tally(counts[:, genes])
    for name in ("total", "above", "gene", "excess", "weight"):
        assert torch.equal(getattr(part, name), getattr(alone, name)), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int64])
def test_any_type_of_counts_is_taken(dtype: torch.dtype) -> None:
    counts = mixed_counts()
    require_counts(counts.to(dtype), prior="zinb")
    assert torch.equal(tally(counts.to(dtype)).total, counts.sum(0).double())


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (-1.0, "negative"),
        (0.5, "non-integer"),
        (float("nan"), "NaN or infinite"),
        (float("inf"), "NaN or infinite"),
        (3e9, "above 2,147,483,647"),
    ],
)
def test_values_that_are_no_counts(value: float, fault: str) -> None:
    counts = torch.ones(3, 5)
    require_counts(counts, prior="nb")
    counts[1, 2:4] = value
    message = rf"holds {fault} values in 2 of 5 gene columns, first in column 2; prior 'nb' needs"
    with pytest.raises(ValueError, match=message):
        require_counts(counts, prior="nb")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4,), r"shape \(4,\), not \(spots, genes\)"),
        ((2, 3, 4), r"shape \(2, 3, 4\), not \(spots, genes\)"),
        ((0, 4), "has 0 spots and 4 genes; prior 'nb' needs at least one of each"),
        ((4, 0), "has 4 spots and 0 genes"),
    ],
)
def test_shapes_that_are_no_table(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_counts(torch.ones(shape), prior="nb")
