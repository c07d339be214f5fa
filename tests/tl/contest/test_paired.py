from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import square

from stflow.metrics import pearson
from stflow.tl._contest._paired import Held, _drawn_pearson, compare_folds, spatial_blocks


def fold(rng: np.random.Generator, name: str, noise: dict[str, float], n_genes: int = 20) -> Held:
    truth = rng.normal(size=(400, n_genes))
    predicted = {method: truth + sd * rng.normal(size=truth.shape) for method, sd in noise.items()}
    genes = tuple(f"g{i}" for i in range(n_genes))
    return Held(name, genes, truth, np.full(400, 1e4), spatial_blocks(square(20)), predicted)


def test_blocks_are_squares_of_about_as_many_spots() -> None:
    blocks = spatial_blocks(square(20))
    sizes = np.bincount(blocks)
    assert 15 <= len(sizes) <= 30
    assert sizes.min() > 0
    for block in range(len(sizes)):
        assert np.ptp(square(20)[blocks == block], axis=0).max() <= 1000


def test_blocks_of_a_line_and_of_two_spots() -> None:
    line = np.column_stack([np.arange(100.0), np.zeros(100)])
    assert 9 <= spatial_blocks(line).max() + 1 <= 12
    assert (np.diff(spatial_blocks(line)) >= 0).all()
    assert len(spatial_blocks(line[:2])) == 2


def test_drawn_pearson_is_that_of_repeated_spots(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 30, 4))
    blocks = np.repeat(np.arange(6), 5)
    times = np.array([[2, 0, 1, 0, 3, 0], [1, 1, 1, 1, 1, 1]])
    found = _drawn_pearson(x, y, blocks, times.astype(float))
    for row, counts in zip(found, times, strict=True):
        spots = np.repeat(np.arange(30), counts[blocks])
        assert np.allclose(row, pearson(x[spots], y[spots]))


def test_a_better_method_is_seen(rng: np.random.Generator) -> None:
    noise = {"ours": 0.3, "worse": 1.0, "same": 0.3}
    worse, same = compare_folds([fold(rng, name, noise) for name in "ab"], seed=0)
    assert (worse["method"], worse["reference"]) == ("worse", "ours")
    expected = 1 / np.sqrt(2) - 1 / np.sqrt(1.09)
    assert worse["difference"] == pytest.approx(expected, abs=0.02)
    assert np.mean(list(worse["by_fold"].values())) == pytest.approx(worse["difference"])
    for kind in ("genes", "spots"):
        low, high = worse[f"{kind}_low"], worse[f"{kind}_high"]
        assert low < worse["difference"] < high < 0
        assert high - low < 0.1
        assert same[f"{kind}_low"] < 0 < same[f"{kind}_high"]


def test_intervals_cover_what_they_claim(rng: np.random.Generator) -> None:
    inside = {"genes": 0, "spots": 0}
    for _ in range(60):
        (found,) = compare_folds([fold(rng, "a", {"x": 0.5, "y": 0.5}, n_genes=10)], seed=0)
        for kind in inside:
            inside[kind] += found[f"{kind}_low"] <= 0 <= found[f"{kind}_high"]
    assert inside["genes"] >= 48
    assert inside["spots"] >= 50


def test_spots_that_resemble_their_neighbours_widen_the_interval(rng: np.random.Generator) -> None:
    one = fold(rng, "a", {"x": 0.5, "y": 1.0})
    field = np.repeat(np.repeat(rng.normal(size=(5, 5, 20)), 4, 0), 4, 1).reshape(400, 20)
    patchy = {"x": one.measured, "y": one.measured + field}
    two = replace(one, predicted=patchy)
    widths = []
    for held in (one, two):
        each = replace(held, blocks=np.arange(400))
        blocked, plain = (compare_folds([h], seed=0)[0] for h in (held, each))
        widths.append(
            (blocked["spots_high"] - blocked["spots_low"])
            / (plain["spots_high"] - plain["spots_low"])
        )
    assert widths[0] < 1.3 < widths[1]


def test_panels_may_differ_between_folds(rng: np.random.Generator) -> None:
    one, two = fold(rng, "a", {"x": 0.3, "y": 1.0}), fold(rng, "b", {"x": 0.3, "y": 1.0})
    other = replace(two, genes=tuple(f"h{i}" for i in range(20)))
    (same,), (apart,) = compare_folds([one, two], seed=0), compare_folds([one, other], seed=0)
    assert same["difference"] == apart["difference"]
    assert apart["genes_low"] < apart["difference"] < apart["genes_high"]


def test_undefined_correlations_are_left_out(rng: np.random.Generator) -> None:
    one = fold(rng, "a", {"x": 0.3, "y": 1.0, "mean": 1.0})
    one.predicted["mean"][:] = 1.0
    one.predicted["y"][:, 0] = 1.0
    y, mean = compare_folds([one], seed=0)
    expected = pearson(one.measured, one.predicted["y"]) - pearson(one.measured, one.predicted["x"])
    assert y["difference"] == pytest.approx(np.nanmean(expected))
    assert np.isnan([mean["difference"], mean["genes_low"], mean["spots_high"]]).all()


def test_one_method_has_nothing_to_be_compared_with(rng: np.random.Generator) -> None:
    assert compare_folds([fold(rng, "a", {"x": 1.0})], seed=0) == []
