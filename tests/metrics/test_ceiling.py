"""Ceilings against the best prediction of counts whose law is known, and on real tissue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stflow as stf
from stflow import metrics
from stflow._units import UNITS


class Tissue(NamedTuple):
    """Expected counts (N, G), and what else is expected of each spot, (N,)."""

    mean: np.ndarray
    beside: np.ndarray

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        counts = rng.poisson(self.mean)
        return counts, counts.sum(axis=1) + rng.poisson(self.beside)


def tissue(rng: np.random.Generator, *, depth: float, n_spots: int = 500) -> Tissue:
    """Genes of very different levels, whose shares vary from spot to spot, as depth does."""
    total = depth * np.exp(0.6 * rng.normal(size=n_spots))
    level = 10 ** rng.uniform(-3.4, -1.9, size=40)
    share = level * np.exp(0.8 * rng.normal(size=(n_spots, 40)))
    return Tissue(total[:, None] * share, total * np.maximum(1 - share.sum(axis=1), 0.1))


def in_units(counts: np.ndarray, totals: np.ndarray, units: str) -> np.ndarray:
    share = 1e4 * counts / np.maximum(totals, 1)[:, None]
    return np.log1p(share if units == "cp10k" else counts)


@pytest.mark.parametrize("units", ["counts", "cp10k"])
@pytest.mark.parametrize(("depth", "tolerance"), [(9000, 0.01), (2500, 0.03)])
def test_it_is_the_correlation_of_the_best_prediction(rng, units, depth, tolerance):
    law = tissue(rng, depth=depth)
    counts, totals = law.draw(rng)
    measured = in_units(counts, totals, units)
    best = np.mean([in_units(*law.draw(rng), units) for _ in range(100)], axis=0)
    reached = metrics.pearson(measured, best)
    found = metrics.ceiling(counts, totals, units=units, seed=0)
    assert abs(found.mean() - reached.mean()) < tolerance
    assert np.sqrt(((found - reached) ** 2).mean()) < 2 * tolerance
    reliability = metrics.pearson(measured, in_units(*law.draw(rng), units))
    assert abs((found**2).mean() - reliability.mean()) < 2 * tolerance
    assert abs(reliability.mean() - reached.mean()) > 0.03


def test_more_counts_raise_it_and_noise_alone_has_none(rng):
    shallow, deep = (tissue(np.random.default_rng(3), depth=depth) for depth in (1000, 20000))
    found = [metrics.ceiling(*law.draw(rng), units="cp10k", seed=0) for law in (shallow, deep)]
    assert (found[1] > found[0]).mean() > 0.9
    flat = Tissue(np.full((800, 40), 6.0), np.full(800, 5000.0))
    for units in UNITS:
        alone = metrics.ceiling(*flat.draw(rng), units=units, seed=0)
        assert ((alone >= 0) & (alone < 0.45)).all()
        assert np.median(alone) < 0.2


def test_depth_is_signal_in_counts_but_not_in_shares(rng):
    total = 5000 * np.exp(0.5 * rng.normal(size=600))
    law = Tissue(np.outer(total, np.full(20, 0.02)), 0.6 * total)
    counts, totals = law.draw(rng)
    assert metrics.ceiling(counts, totals, units="counts", seed=0).min() > 0.9
    assert np.median(metrics.ceiling(counts, totals, units="cp10k", seed=0)) < 0.4


def test_undefined_where_halves_cannot_vary():
    counts = np.zeros((30, 3), dtype=int)
    counts[3, 1], counts[:, 2] = 1, 40 * np.arange(30)
    found = metrics.ceiling(counts, counts.sum(axis=1), units="counts", seed=0)
    assert np.isnan(found).tolist() == [True, True, False]
    assert found[2] > 0.95
    assert np.isnan(metrics.ceiling(counts[:1], [0], units="cp10k", seed=0)).all()


def test_a_seed_settles_it_and_more_splits_settle_it_more(rng):
    counts, totals = tissue(rng, depth=2000).draw(rng)

    def found(seed: int, n_splits: int = 5) -> np.ndarray:
        return metrics.ceiling(counts, totals, units="cp10k", seed=seed, n_splits=n_splits)

    np.testing.assert_array_equal(found(1), found(1))
    few, many = (np.abs(found(1, n) - found(2, n)).mean() for n in (1, 30))
    assert 0 < many < 0.5 * few


@settings(max_examples=20)
@given(seed=st.integers(0, 2**16), units=st.sampled_from(["counts", "cp10k"]))
def test_it_lies_between_0_and_1(seed: int, units: str):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 4.0, size=(15, 4)))
    totals = counts.sum(axis=1) + rng.poisson(3.0, size=15)
    found = metrics.ceiling(counts.astype(np.float32), totals, units=units, seed=0)
    assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()


@pytest.mark.parametrize(("units", "expected"), [("counts", 0.941), ("cp10k", 0.80)])
@pytest.mark.usefixtures("data_dir")
def test_on_tissue(units: str, expected: float):
    table = stf.datasets.her2st("C2").tables["table"]
    counts = table.X.toarray()
    totals = counts.sum(axis=1)
    counts, totals = counts[totals >= 100], totals[totals >= 100]
    top = np.argsort(-in_units(counts, totals, units).var(axis=0))[:50]
    found = metrics.ceiling(counts[:, top], totals, units=units, seed=0)
    assert np.nanmean(found) == pytest.approx(expected, abs=0.02)


def test_refusals():
    counts, totals = np.ones((3, 2)), np.full(3, 5)
    with pytest.raises(ValueError, match=r"`units` is 'cpm'; available: .*cp10k"):
        metrics.ceiling(counts, totals, units="cpm", seed=0)
    with pytest.raises(ValueError, match=r"In 1 of 3 spots the total is less .* all genes"):
        metrics.ceiling(counts, [5, 1, 5], units="counts", seed=0)
    with pytest.raises(ValueError, match=r"not \(3, 2\) and \(2,\)"):
        metrics.ceiling(counts, totals[:2], units="counts", seed=0)
    with pytest.raises(ValueError, match="`counts` holds values that are not whole numbers"):
        metrics.ceiling(counts / 3, totals, units="counts", seed=0)
    with pytest.raises(ValueError, match="`totals` holds negative values"):
        metrics.ceiling(counts, -totals, units="counts", seed=0)
    with pytest.raises(ValueError, match="`n_splits` must be a whole number of at least 1"):
        metrics.ceiling(counts, totals, units="counts", seed=0, n_splits=0)
    with pytest.raises(ValueError, match="`seed` must be a whole number"):
        metrics.ceiling(counts, totals, units="counts", seed=-1)
