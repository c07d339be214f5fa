"""Variances and correlations between genes and between neighbours: squidpy, numpy, controls."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import squidpy as sq
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stflow.metrics import (
    gene_correlation,
    gene_correlation_error,
    morans_i,
    morans_i_error,
    variance,
    variance_error,
)
from stflow.slide._graph import knn_graph


@pytest.fixture
def graph(rng: np.random.Generator) -> sp.csr_matrix:
    """Unequally many neighbours a spot, as on a lattice with an edge."""
    lattice = np.stack(np.meshgrid(np.arange(8.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
    return knn_graph(lattice, 5)[0]


def ring(n_spots: int) -> sp.csr_array:
    """Each spot and the two beside it on a ring."""
    at = np.arange(n_spots)
    beside = sp.csr_array((np.ones(n_spots), (at, np.roll(at, 1))), shape=(n_spots, n_spots))
    return sp.csr_array(beside + beside.T)


def test_morans_i_is_squidpys(graph, rng):
    assert len(np.unique(graph.sum(axis=1))) > 1
    table = AnnData(rng.poisson(2.0, size=(48, 5)).astype(np.float64))
    table.obsp["spatial_connectivities"] = graph
    known = sq.gr.spatial_autocorr(table, mode="moran", copy=True, show_progress_bar=False)
    np.testing.assert_allclose(morans_i(table.X, graph), known["I"][table.var_names], rtol=1e-6)


def test_morans_i_of_known_patterns():
    wave, checks = np.cos(2 * np.pi * np.arange(40) / 40), np.tile([1.0, -1.0], 20)
    found = morans_i(np.stack([wave, checks], axis=1), ring(40))
    np.testing.assert_allclose(found, [np.cos(2 * np.pi / 40), -1.0])


def test_shuffled_spots_lose_morans_i(rng):
    wave = np.sin(2 * np.pi * np.arange(2000) / 200)[:, None]
    assert morans_i(wave, ring(2000))[0] > 0.99
    assert abs(morans_i(rng.permutation(wave), ring(2000))[0]) < 0.08


def test_samples_have_a_morans_i_each(graph, rng):
    samples = rng.normal(size=(3, 48, 2))
    found = morans_i(samples, graph)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[1], morans_i(samples[1], graph))
    measured = rng.normal(size=(48, 2))
    expected = np.abs(found - morans_i(measured, graph)).mean(axis=0)
    np.testing.assert_allclose(morans_i_error(measured, samples, graph), expected)
    np.testing.assert_array_equal(morans_i_error(measured, measured, graph), 0.0)


def test_morans_i_is_undefined_without_variation_or_edges(graph):
    values = np.tile(np.arange(48.0)[:, None], 2)
    values[:, 0] = 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(morans_i(values, graph)).tolist() == [True, False]
        assert np.isnan(morans_i(values, sp.csr_matrix((48, 48)))).all()
        assert np.isnan(morans_i(values[:1], sp.csr_matrix((1, 1)))).all()
        samples = np.stack([values, values[:, ::-1]])
        error = morans_i_error(values[:, [1, 1]], samples, graph)
    np.testing.assert_allclose(error, 0.0, atol=1e-12)


def test_a_spot_without_neighbours_counts_for_the_variance_only():
    graph = ring(10)
    lonely = sp.block_diag([graph, sp.csr_array((1, 1))])
    values = np.append(np.arange(10.0), 4.5)[:, None]
    z = values - values.mean()
    expected = 11 / 10 * (z[:10] * (graph @ z[:10] / 2)).sum() / (z**2).sum()
    np.testing.assert_allclose(morans_i(values, lonely), expected)


def test_correlations_are_numpys_and_undefined_for_constants(rng):
    values = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4))
    np.testing.assert_allclose(gene_correlation(values), np.corrcoef(values.T))
    values[:, 2] = 0.1
    undefined = np.isnan(gene_correlation(values))
    assert undefined[2].all()
    assert undefined[:, 2].all()
    assert undefined.sum() == 7


def test_error_of_the_correlations_by_hand():
    x = np.array([1.0, -1.0, 1.0, -1.0])
    y = np.array([1.0, 1.0, -1.0, -1.0])
    together, against = np.stack([x, x, y], axis=1), np.stack([x, -x, y], axis=1)
    assert gene_correlation_error(together, together) == 0.0
    assert gene_correlation_error(together, against) == pytest.approx(2 / np.sqrt(3))
    samples = np.stack([together, against, together, together])
    assert gene_correlation_error(together, samples) == pytest.approx(2 / np.sqrt(3) / 4)
    silent = np.stack([x, -x, np.zeros(4)], axis=1)
    assert gene_correlation_error(together, silent) == pytest.approx(2.0)


def test_without_pairs_there_is_no_error_of_correlations():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(gene_correlation_error(np.arange(4.0)[:, None], np.ones((4, 1))))
        assert np.isnan(gene_correlation_error(np.eye(3), np.ones((2, 3, 3))))


def test_single_samples_keep_what_their_mean_loses(graph, rng):
    shared = rng.normal(size=(5, 48, 1))
    draws = shared + 0.5 * rng.normal(size=(5, 48, 6))
    measured, samples = draws[0], draws[1:]
    mean = samples.mean(axis=0)
    assert variance_error(measured, samples).mean() < 0.5 * variance_error(measured, mean).mean()
    independent = rng.normal(size=(4, 48, 6))
    assert gene_correlation_error(measured, samples) < 0.3
    assert gene_correlation_error(measured, independent) > 0.6


def test_variance_and_its_error_by_hand():
    measured = np.array([[0.0, 3.0], [2.0, 3.0]])
    np.testing.assert_array_equal(variance(measured), [1.0, 0.0])
    samples = np.stack([measured, 2 * measured, 0 * measured])
    np.testing.assert_array_equal(variance(samples), [[1, 0], [4, 0], [0, 0]])
    np.testing.assert_array_equal(variance_error(measured, 2 * measured), [3.0, np.nan])
    np.testing.assert_array_equal(variance_error(measured, 0 * measured), [1.0, np.nan])
    np.testing.assert_allclose(variance_error(measured, samples), [4 / 3, np.nan])


@given(
    values=hnp.arrays(np.float64, (12, 3), elements=st.integers(0, 9)),
    scale=st.floats(1e-2, 1e2),
    shift=st.floats(-9, 9),
)
def test_structure_ignores_scale_and_shift(values, scale, shift):
    moved = scale * values + shift
    graph = ring(12)
    np.testing.assert_allclose(gene_correlation(values), gene_correlation(moved), atol=1e-8)
    np.testing.assert_allclose(morans_i(values, graph), morans_i(moved, graph), atol=1e-8)
    np.testing.assert_allclose(variance(moved), scale**2 * variance(values), atol=1e-8)
    found = morans_i(values, 3 * graph)
    np.testing.assert_allclose(found, morans_i(values, graph), atol=1e-12)
    assert ((np.abs(found) <= 1 + 1e-9) | np.isnan(found)).all()


def test_refusals():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"graph has shape \(4, 4\) for 3 spots"):
        morans_i(ones, np.eye(4))
    with pytest.raises(ValueError, match=r"one shape .* not \(3, 2\) and \(2, 3\)"):
        variance_error(ones, ones.T)
    with pytest.raises(ValueError, match=r"\('S', 3, 2\), not \(4, 2, 3\)"):
        gene_correlation_error(ones, np.ones((4, 2, 3)))
    with pytest.raises(ValueError, match="At least 1 samples are needed, not 0"):
        morans_i_error(ones, np.ones((0, 3, 2)), np.eye(3))
