"""Which genes and which spots go together: by hand, with samples, and what is left out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow.metrics import gene_structure_correlation, spot_structure_correlation


@pytest.fixture
def measured(rng: np.random.Generator) -> np.ndarray:
    """Expression of three programmes."""
    return rng.normal(size=(80, 3)) @ rng.normal(size=(3, 12)) + rng.normal(size=(80, 12))


def upper(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), k=1)]


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def test_they_are_correlations_of_numpys_matrices(measured, rng):
    predicted = measured + rng.normal(size=measured.shape)
    expected = np.corrcoef(upper(np.corrcoef(measured.T)), upper(np.corrcoef(predicted.T)))[0, 1]
    assert gene_structure_correlation(measured, predicted) == pytest.approx(expected)
    one, other = (upper(np.corrcoef(standardised(x))) for x in (measured, predicted))
    found = spot_structure_correlation(measured, predicted, seed=0)
    assert found == pytest.approx(np.corrcoef(one, other)[0, 1])


def test_perfect_and_shuffled(measured, rng):
    assert gene_structure_correlation(measured, measured) == pytest.approx(1.0)
    assert spot_structure_correlation(measured, measured, seed=0) == pytest.approx(1.0)
    other_spots = rng.permutation(measured)
    assert gene_structure_correlation(measured, other_spots) == pytest.approx(1.0)
    assert abs(spot_structure_correlation(measured, other_spots, seed=0)) < 0.1
    other_genes = rng.permutation(measured, axis=1)
    assert abs(gene_structure_correlation(measured, other_genes)) < 0.4
    assert spot_structure_correlation(measured, other_genes, seed=0) == pytest.approx(1.0)


def test_a_prediction_of_one_pattern_has_no_structure(measured):
    one = np.outer(measured[:, 0], np.linspace(1, 2, 12))
    assert np.isnan(gene_structure_correlation(measured, one))
    assert np.isnan(spot_structure_correlation(measured, one, seed=0))


def test_levels_of_genes_do_not_make_spots_alike(measured, rng):
    levels = rng.uniform(0, 100, size=12)
    noise = rng.normal(size=measured.shape)
    found = spot_structure_correlation(measured + levels, noise + levels, seed=0)
    assert abs(found) < 0.1


def test_scores_of_samples_are_averaged(measured, rng):
    samples = measured + rng.normal(size=(3, *measured.shape))
    expected = np.mean([gene_structure_correlation(measured, x) for x in samples])
    assert gene_structure_correlation(measured, samples) == pytest.approx(expected)
    expected = np.mean([spot_structure_correlation(measured, x, seed=0) for x in samples])
    assert spot_structure_correlation(measured, samples, seed=0) == pytest.approx(expected)


def test_constant_genes_are_left_out(measured, rng):
    predicted = measured + rng.normal(size=measured.shape)
    predicted[:, 3] = 0.1
    kept = np.delete(np.arange(12), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        genes = gene_structure_correlation(measured, predicted)
        spots = spot_structure_correlation(measured, predicted, seed=0)
        for few in (predicted[:, 3:5], predicted[:, 3:4]):
            assert np.isnan(gene_structure_correlation(few, few))
            assert np.isnan(spot_structure_correlation(few[:, :1], few[:, :1], seed=0))
        assert np.isnan(spot_structure_correlation(measured[:2], measured[:2], seed=0))
    both = measured[:, kept], predicted[:, kept]
    assert genes == pytest.approx(gene_structure_correlation(*both))
    assert spots == pytest.approx(spot_structure_correlation(*both, seed=0))


def test_drawn_spots_stand_for_all(measured, rng):
    predicted = measured + rng.normal(size=measured.shape)
    whole = spot_structure_correlation(measured, predicted, seed=0)
    assert whole == spot_structure_correlation(measured, predicted, seed=1, max_spots=80)
    drawn = [spot_structure_correlation(measured, predicted, seed=s, max_spots=50) for s in (0, 1)]
    assert drawn[0] != drawn[1]
    np.testing.assert_allclose(drawn, whole, atol=0.15)
    again = spot_structure_correlation(measured, predicted, seed=0, max_spots=50)
    assert again == drawn[0]


@given(seed=st.integers(0, 2**16), shift=st.floats(-9, 9))
def test_scale_shift_and_order_do_not_matter(seed: int, shift: float):
    rng = np.random.default_rng(seed)
    measured, predicted = rng.normal(size=(2, 12, 6))
    scale = rng.uniform(0.1, 10, size=6)
    spots, genes = rng.permutation(12), rng.permutation(6)
    moved = (
        (scale * measured + shift)[spots][:, genes],
        (predicted / scale - shift)[spots][:, genes],
    )
    found = gene_structure_correlation(measured, predicted)
    assert gene_structure_correlation(*moved) == pytest.approx(found)
    found = spot_structure_correlation(measured, predicted, seed=0)
    assert spot_structure_correlation(*moved, seed=0) == pytest.approx(found)


def test_refusals():
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"one shape .* not \(3, 2\) and \(2, 3\)"):
        gene_structure_correlation(ones, ones.T)
    with pytest.raises(ValueError, match="`max_spots` must be a whole number of at least 1"):
        spot_structure_correlation(ones, ones, seed=0, max_spots=0)
    with pytest.raises(ValueError, match="`seed` must be a whole number"):
        spot_structure_correlation(ones, ones, seed=-1)
