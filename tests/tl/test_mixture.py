"""Non-negative regression on signatures: known answers, scipy on all genes, and pairs alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls

from stflow.tl._mixture import Mixture


@pytest.fixture
def signatures(rng) -> np.ndarray:
    return rng.gamma(0.5, 20.0, size=(30, 4))


@pytest.mark.parametrize("depth", [1e-3, 1.0, 1e4])
def test_a_mixture_gives_its_fractions_at_any_depth(rng, signatures, depth) -> None:
    true = rng.dirichlet(np.full(4, 0.5), size=(2, 50))
    mixture = Mixture(signatures)
    expression = depth * true @ signatures.T
    np.testing.assert_allclose(mixture.fractions(expression), true, atol=1e-8)
    np.testing.assert_allclose(mixture.unexplained(expression), 0, atol=1e-12)


def test_it_is_the_regression_on_all_genes(rng, signatures) -> None:
    mixture, expression = Mixture(signatures), rng.gamma(0.5, 20.0, size=(40, 30))
    weighted = signatures * mixture.weights[:, None]
    found = np.stack([nnls(weighted, each * mixture.weights)[0] for each in expression])
    assert (found == 0).any()
    np.testing.assert_allclose(
        mixture.fractions(expression), found / found.sum(1, keepdims=True), atol=1e-8
    )


def test_of_nothing_all_fractions_are_alike(signatures) -> None:
    mixture = Mixture(signatures)
    np.testing.assert_array_equal(mixture.fractions(np.zeros((2, 30))), np.full((2, 4), 0.25))
    np.testing.assert_array_equal(mixture.unexplained(np.zeros((2, 30))), 0)


def test_what_no_type_expresses_is_unexplained(rng, signatures) -> None:
    mixture = Mixture(signatures[:, :3])
    known = mixture.unexplained(rng.dirichlet(np.ones(3), 50) @ signatures[:, :3].T)
    strange = mixture.unexplained(signatures[:, 3][None])
    assert strange[0] > 0.1 > known.max()


def test_pairs_that_are_alike_are_named(rng, signatures) -> None:
    assert Mixture(signatures).pairs_alike == []
    twin = signatures[:, [1]] * rng.uniform(0.9, 1.1, size=(30, 1))
    ((first, second, cosine),) = Mixture(np.hstack([signatures, 3 * twin])).pairs_alike
    assert (first, second) == (1, 4)
    assert 0.95 < cosine <= 1
