"""Effective sizes against dense matrices and white noise; the test's level, power and laws."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

import stflow as stf
from stflow import metrics
from stflow.metrics import _autocorrelation


def square(side: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) * 1.0


def hexagonal(side: int) -> np.ndarray:
    coords = square(side)
    coords[:, 0] += 0.5 * (coords[:, 1] % 2)
    return coords * [1.0, np.sqrt(0.75)]


LATTICES = {"square": square(14), "hexagonal": hexagonal(18)}


def fields(
    coords: np.ndarray, scale: float, n: int, rng: np.random.Generator, *, power: int = 2
) -> np.ndarray:
    """Gaussian fields, shape (N, n), whose covariance falls to 1/e at ``scale``."""
    covariance = np.exp(-((cdist(coords, coords) / scale) ** power))
    root = np.linalg.cholesky(covariance + 1e-8 * np.eye(len(coords)))
    return root @ rng.normal(size=(len(coords), n))


def plain(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Student's test, for which all spots are independent."""
    r, freedom = metrics.pearson(measured, predicted), len(measured) - 2
    return stats.t.sf(r * np.sqrt(freedom / (1 - r**2)), freedom)


def unrelated(
    lattice: str, smooth: tuple[float, float], noise: float, n: int, power: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates, smooth and noisy measured fields, and predicted ones of their own."""
    rng, coords = np.random.default_rng(7), LATTICES[lattice]
    measured = fields(coords, smooth[0], n, rng, power=power)
    predicted = fields(coords, smooth[1], n, rng, power=power)
    return coords, measured + noise * rng.normal(size=measured.shape), predicted


def assert_level(
    lattice: str, smooth: tuple[float, float], noise: float, n: int, power: int = 2
) -> None:
    coords, measured, predicted = unrelated(lattice, smooth, noise, n, power)
    p = metrics.spatial_p_values(coords, measured, predicted)
    assert 0.03 < (p < 0.05).mean() < 0.07
    assert (p < 0.01).mean() < 0.02
    assert (plain(measured, predicted) < 0.05).mean() > 0.15


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
@pytest.mark.parametrize(("scale", "noise"), [(2.0, 0.0), (4.0, 1.0), (8.0, 0.5)])
def test_smooth_but_unrelated_maps_pass_as_often_as_they_should(lattice, scale, noise):
    assert_level(lattice, (scale, scale), noise, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
@pytest.mark.parametrize(
    ("smooth", "noise", "power"),
    [
        ((1.5, 1.5), 0.0, 2),
        ((3.0, 12.0), 0.5, 2),
        ((12.0, 3.0), 1.0, 2),
        ((6.0, 6.0), 1.0, 2),
        ((12.0, 12.0), 0.5, 2),
        ((4.0, 4.0), 0.5, 1),
        ((20.0, 20.0), 0.5, 1),
    ],
)
def test_the_level_holds_for_many_kinds_of_maps(lattice, smooth, noise, power):
    assert_level(lattice, smooth, noise, 6000, power)


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_three_slides_together_keep_the_level(lattice):
    coords, measured, predicted = unrelated(lattice, (4.0, 4.0), 1.0, 6000)
    p = metrics.spatial_p_values(coords, measured, predicted).reshape(3, -1)
    assert 0.03 < (metrics.combine_p_values(p) < 0.05).mean() < 0.07
    assert (metrics.combine_p_values(plain(measured, predicted).reshape(3, -1)) < 0.05).mean() > 0.3


@pytest.mark.usefixtures("data_dir")
def test_genes_of_tissue_beside_unrelated_maps():
    table = stf.datasets.her2st("C2").tables["table"]
    counts = table.X.toarray()
    enough = counts.sum(axis=1) >= 100
    coords = table.obs[["array_col", "array_row"]].to_numpy(float)[enough]
    share = np.log1p(1e4 * counts[enough] / counts[enough].sum(axis=1, keepdims=True))
    genes = share[:, np.argsort(-share.var(axis=0))[:50]]
    predicted = fields(coords, 4.0, 2000, np.random.default_rng(0))
    measured = np.tile(genes, 40)
    p = metrics.spatial_p_values(coords, measured, predicted)
    assert 0.03 < (p < 0.05).mean() < 0.07
    assert (plain(measured, predicted) < 0.05).mean() > 0.15


def test_independent_spots_pass_as_in_the_plain_test():
    rng = np.random.default_rng(0)
    measured, predicted = rng.normal(size=(2, 196, 3000))
    p = metrics.spatial_p_values(LATTICES["square"], measured, predicted)
    assert 0.035 < (p < 0.05).mean() < 0.065
    assert abs(np.log(p) - np.log(plain(measured, predicted))).mean() < 0.05
    size = metrics.effective_size(LATTICES["square"], measured, predicted)
    assert np.median(size) == pytest.approx(196, rel=0.02)


def test_related_maps_are_found_and_opposite_ones_are_not():
    coords, measured, predicted = unrelated("hexagonal", (4.0, 4.0), 1.0, 300)
    p = metrics.spatial_p_values(coords, measured + predicted, predicted)
    assert (p < 0.01).mean() > 0.8
    opposite = metrics.spatial_p_values(coords, measured - predicted, predicted)
    assert (opposite > 0.99).mean() > 0.8
    assert (metrics.false_discovery_rate(p) < 0.05).mean() > 0.95


def test_it_is_the_formula_with_dense_matrices(rng):
    coords, z = hexagonal(9), fields(hexagonal(9), 2.0, 6, rng)
    measured, predicted = z[:, :3] + rng.normal(size=(81, 3)), z[:, 3:]
    n, distances = 81, cdist(coords, coords)
    classes = np.ceil(distances / distances.max() * 9 - 1e-9).astype(int)
    centring = np.eye(n) - 1 / n
    members = [(classes == k).astype(float) for k in range(10)]
    traces = np.array([[np.trace(centring @ a @ centring @ b) for b in members] for a in members])
    inverse = np.linalg.pinv(traces, rcond=1e-9)
    for gene, found in enumerate(metrics.effective_size(coords, measured, predicted)):
        x, y = centring @ measured[:, gene], centring @ predicted[:, gene]
        rest = x - y * (x @ y) / (y @ y)
        of_x = np.array([2 / 3 * x @ m @ x + rest @ m @ rest / 3 for m in members])
        of_y = np.array([y @ m @ y for m in members])
        assert found == pytest.approx(1 + of_x[0] * of_y[0] / (of_x @ inverse @ of_y))


def test_smoother_maps_count_for_fewer_spots():
    sizes = [
        np.median(metrics.effective_size(*unrelated("hexagonal", (scale, scale), 0.0, 100)))
        for scale in (1.0, 2.0, 4.0, 8.0)
    ]
    assert (np.diff(sizes) < 0).all()
    assert sizes[-1] < 12


def test_chunks_of_rows_do_not_matter(monkeypatch):
    parts = unrelated("hexagonal", (4.0, 4.0), 1.0, 5)
    found = metrics.effective_size(*parts)
    monkeypatch.setattr(_autocorrelation, "_ROWS", 7)
    np.testing.assert_allclose(metrics.effective_size(*parts), found)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    scale=st.floats(0.1, 100),
    shift=st.floats(-50, 50),
    angle=st.floats(0, 6),
)
def test_units_places_and_order_do_not_matter(seed: int, scale: float, shift: float, angle: float):
    rng = np.random.default_rng(seed)
    coords = rng.uniform(size=(30, 2))
    measured, predicted = rng.normal(size=(2, 30, 3))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    order = rng.permutation(30)
    moved = metrics.spatial_p_values(
        (scale * coords @ turn + shift)[order],
        (scale * measured + shift)[order],
        (predicted / scale - shift)[order],
    )
    found = metrics.spatial_p_values(coords, measured, predicted)
    np.testing.assert_allclose(moved, found, rtol=1e-5)
    size = metrics.effective_size(coords, measured, predicted)
    assert ((size >= 3) & (size <= 30)).all()


def test_undefined_genes_few_spots_and_one_place():
    coords = square(4)
    measured = np.arange(64.0).reshape(16, 4) ** 2
    predicted = measured[::-1].copy()
    measured[:, 0], predicted[:, 1], predicted[:, 2] = 0.1, 0.1, measured[:, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = metrics.spatial_p_values(coords, measured, predicted)
        assert np.isnan(metrics.effective_size(coords[:3], measured[:3], predicted[:3])).all()
        assert np.isnan(metrics.spatial_p_values(coords[:3], measured[:3], predicted[:3])).all()
        one_place = metrics.effective_size(0 * coords, measured, predicted)
    assert np.isnan(p).tolist() == [True, True, False, False]
    assert p[2] < 1e-6
    assert np.isnan(one_place).tolist() == [True, True, False, False]


def test_refusals():
    ones = np.ones((5, 2))
    with pytest.raises(ValueError, match=r"shape \(5, 2\), not \(5, 3\)"):
        metrics.effective_size(np.ones((5, 3)), ones, ones)
    with pytest.raises(ValueError, match="`coords` holds 1 values that are NaN"):
        metrics.spatial_p_values(np.array([[np.nan, 0]] + [[0, 1]] * 4), ones, ones)
    with pytest.raises(ValueError, match=r"one shape .* not \(5, 2\) and \(2, 5\)"):
        metrics.effective_size(ones, ones, ones.T)
