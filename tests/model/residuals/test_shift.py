from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t
from support import square

from stflow.metrics import normal_sd
from stflow.model.residuals import ResidualLaw, Smoother
from stflow.model.residuals._shift import Shift
from stflow.slide._graph import knn_graph

N_GENES, SIDE = 40, 12
ALONE = np.zeros((N_GENES, 8))


def left_out(n: int, rng: np.random.Generator, size: float = 1.0) -> np.ndarray:
    """Shift of each of n patients from the mean of the others, (n, G)."""
    own = rng.normal(0, size, (n, N_GENES))
    return own - (own.sum(0) - own) / (n - 1)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_new_patient_lies_within_as_often_as_claimed(n: int) -> None:
    """Of a new patient against the mean of all; a normal of that scale holds too few."""
    rng, inside, normal = np.random.default_rng(0), [], []
    for _ in range(200):
        own = rng.normal(size=(n, N_GENES))
        shift = Shift.fit(own - (own.sum(0) - own) / (n - 1), range(n), np.ones(N_GENES), ALONE)
        away = np.abs(rng.normal(size=N_GENES) - own.mean(0)) / shift.scale.numpy()
        inside.append(away < t.ppf(0.95, float(shift.df)))
        normal.append(away < norm.ppf(0.95))
        assert shift.df == n - 1
    assert np.mean(inside) == pytest.approx(0.9, abs=0.015)
    assert np.mean(normal) < 0.87


def test_slides_of_a_patient_count_as_one() -> None:
    """Negative control: told apart they would make us surer than two patients can."""
    shifts = left_out(2, np.random.default_rng(0))
    one = Shift.fit(shifts, [0, 1], np.ones(N_GENES), ALONE)
    thrice = np.repeat(shifts, 3, axis=0)
    many = Shift.fit(thrice, [0, 0, 0, 1, 1, 1], np.ones(N_GENES), ALONE)
    torch.testing.assert_close(many.scale, one.scale)
    assert many.df == one.df == 1
    assert Shift.fit(thrice, range(6), np.ones(N_GENES), ALONE).df == 5


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("n_parts", [2, 40])
def test_genes_shift_together_as_they_did(together: bool, n_parts: int) -> None:
    """So the sum of all has its own predictive scale; apart, a small one."""
    own = np.random.default_rng(0).normal(size=(12, 1 if together else N_GENES))
    shifts = np.broadcast_to(own, (12, N_GENES)) * np.linspace(0.5, 2, N_GENES)
    shift = Shift.fit(shifts, range(12), np.ones(N_GENES), np.zeros((N_GENES, n_parts)))
    rng = np.random.default_rng(1)
    drawn = torch.stack([shift.draw(rng) for _ in range(4000)]).double()
    torch.testing.assert_close(drawn.std(0), shift.sd.double(), rtol=0.06, atol=0)
    found = float(drawn.sum(1).std())
    if together or n_parts > 12:
        scale = np.sqrt(np.mean(shifts.sum(1) ** 2) * 143 / 144)
        assert found == pytest.approx(scale * normal_sd(11), rel=0.05)
    assert found < 0.35 * float(shift.sd.sum()) or together


@pytest.mark.parametrize("n", [2, 5])
def test_the_mean_of_all_genes_lies_within_as_often_as_claimed(n: int) -> None:
    """Patients differ in depth, which all genes share: as if genes were independent, few do."""
    rng, inside, independent = np.random.default_rng(0), [], []
    for _ in range(1500):
        own = rng.normal(size=(n + 1, N_GENES)) + rng.normal(size=(n + 1, 1))
        known, new = own[:n], own[n]
        away = known - (known.sum(0) - known) / (n - 1)
        shift = Shift.fit(away, range(n), np.ones(N_GENES), ALONE)
        error = abs((new - known.mean(0)).mean())
        wide = t.ppf(0.9, n - 1)
        inside.append(error < wide * np.linalg.norm(shift.parts.numpy().mean(1)))
        independent.append(error < wide * np.linalg.norm(shift.scale.numpy()) / N_GENES)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.03)
    assert np.mean(independent) < 0.5


def test_where_nothing_tells_genes_go_together_as_within_a_slide() -> None:
    shifts, within = np.zeros((1, N_GENES)), np.full(N_GENES, 0.5)
    together = Shift.fit(shifts, [0], within, np.full((N_GENES, 1), 0.9))
    apart = Shift.fit(shifts, [0], within, ALONE)
    for shift, expected in ((together, 0.5 * N_GENES * 0.9), (apart, 0.5 * N_GENES**0.5)):
        rng = np.random.default_rng(1)
        drawn = torch.stack([shift.draw(rng) for _ in range(2000)])
        assert float(drawn.sum(1).std()) == pytest.approx(expected, rel=0.06)


def test_where_nothing_tells_the_shift_is_as_large_as_what_is_left() -> None:
    within = np.linspace(0.1, 2, N_GENES)
    shift = Shift.fit(left_out(2, np.random.default_rng(0))[:1], [0], within, ALONE)
    torch.testing.assert_close(shift.scale.double(), torch.from_numpy(within))
    assert shift.df == torch.inf
    assert torch.equal(shift.sd, shift.scale)


@given(df=st.integers(1, 30))
def test_the_normal_is_as_wide_in_its_central_80_percent(df: int) -> None:
    shift = Shift(1, 0)
    shift.scale.fill_(0.3)
    shift.df.fill_(df)
    assert float(shift.sd) * norm.ppf(0.9) == pytest.approx(0.3 * t.ppf(0.9, df), rel=1e-5)


def shifted(sizes: tuple[float, ...], seed: int = 0) -> tuple[list, list, list]:
    """Slides with white residuals of variance 1, all genes shifted by a size."""
    rng, graph = np.random.default_rng(seed), knn_graph(square(SIDE), 8)[0]
    predicted = [rng.uniform(5, 9, (SIDE**2, N_GENES)).astype(np.float32) for _ in sizes]
    pairs = zip(predicted, sizes, strict=True)
    measured = [mean + rng.normal(size=mean.shape) + size for mean, size in pairs]
    return [graph] * len(sizes), predicted, measured


def test_a_shift_is_told_from_what_varies_within_a_slide() -> None:
    law = ResidualLaw.fit(*shifted((2.0, -2.0, 2.0, -2.0)), 0, groups=range(4))
    within = law.variance(torch.full((1, N_GENES), 7.0)).sqrt().mean()
    assert float(within) == pytest.approx(1, abs=0.05)
    assert float(law.shift.scale.mean()) == pytest.approx(2 * np.sqrt(15 / 16), abs=0.05)
    rng = np.random.default_rng(1)
    drawn = torch.stack([law.shift.draw(rng) for _ in range(500)])
    torch.testing.assert_close(drawn.std(0), law.shift.sd, rtol=0.15, atol=0)


def test_measured_spots_settle_the_shift() -> None:
    """Many say it, one hardly."""
    law = ResidualLaw.fit(*shifted((2.0, -2.0, 2.0, -2.0)), 0, groups=range(4))
    slide, rng = Smoother(knn_graph(square(SIDE), 8)[0]), np.random.default_rng(2)
    found = {}
    for n in (1, 72):
        known = rng.permutation(SIDE**2)[:n]
        away = torch.stack([torch.full((n, N_GENES), 3.0), torch.ones(n, N_GENES)])
        found[n] = law.settle(slide, known, away, np.random.default_rng(3))
    assert float(found[72][1].max()) < 0.05 < float(found[1][1].min())
    torch.testing.assert_close(found[72][0], torch.full((N_GENES,), 3.0), rtol=0.05, atol=0)
    assert float(found[1][0].max()) < float(found[72][0].min())


def with_tails(sizes: tuple[float, ...], share: float) -> tuple[list, list, list]:
    """Slides of which a share of the spots holds five times as much, and amounts are scaled."""
    rng, graph = np.random.default_rng(0), knn_graph(square(SIDE), 8)[0]
    predicted = [np.full((SIDE**2, N_GENES), 4, dtype=np.float32) for _ in sizes]
    measured = []
    for size, mean in zip(sizes, predicted, strict=True):
        much = np.where(rng.random(mean.shape) < share, 5, 1)
        measured.append(np.log1p(np.expm1(mean) * much * np.exp(0.2 * size)))
    return [graph] * len(sizes), predicted, measured


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_mean_amounts_are_compared_with_what_was_measured(share: float) -> None:
    """Draws, a bias and a shift: together they hold the mean amount of each slide left out."""
    graphs, predicted, measured = with_tails((1.0, -1.0, 1.0, -1.0), share)
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(4))
    assert law.bulk.df == 3
    expected = 0.2 * np.sqrt(15 / 16)
    assert float(law.bulk.scale.mean()) == pytest.approx(expected, rel=0.15)
    rng, slide = np.random.default_rng(1), Smoother(graphs[0])
    mean = torch.from_numpy(predicted[0])
    amounts = [
        (mean + law.residual(mean, torch.from_numpy(law.draw_normal(slide, rng)))).expm1().mean(0)
        for _ in range(100)
    ]
    drawn = torch.log1p(torch.stack(amounts).mean(0)) + law.bulk_bias
    true = np.mean([np.log1p(np.expm1(each).mean(0)) for each in measured], axis=0)
    np.testing.assert_allclose(drawn.numpy(), true, atol=0.07)


def test_slides_of_a_patient_count_as_one_in_mean_amounts() -> None:
    law = ResidualLaw.fit(*with_tails((1.0, 1.0, 1.0, -1.0), 0.1), 0, groups=[0, 0, 0, 1])
    assert law.bulk.df == 1
    alone = ResidualLaw.fit(*with_tails((1.0,), 0.1), 0, groups=[0])
    torch.testing.assert_close(alone.bulk.scale, alone.shift.scale)
