"""Tables of scores hold what the functions give, and means over what is defined."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from stflow import metrics

GENES = ["A", "B"]


@pytest.fixture
def arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    measured = rng.normal(size=(20, 2))
    samples = measured + rng.normal(size=(6, 20, 2))
    return {
        "measured": measured,
        "predicted": samples.mean(axis=0),
        "sd": samples.std(axis=0),
        "samples": samples,
    }


@pytest.fixture
def graph() -> sp.csr_array:
    return sp.csr_array(np.eye(20, k=1) + np.eye(20, k=-1))


def test_spread_with_samples_or_without(arrays):
    measured, predicted, sd, samples = arrays.values()
    gaussian = metrics.per_gene_spread(measured, predicted, genes=GENES, sd=sd)
    assert list(gaussian) == ["crps", "coverage_50", "coverage_80", "coverage_90"]
    np.testing.assert_allclose(gaussian["crps"], metrics.crps_gaussian(measured, predicted, sd))
    for level in metrics.LEVELS:
        interval = metrics.gaussian_interval(predicted, sd, level=level)
        found = gaussian[f"coverage_{round(100 * level)}"]
        np.testing.assert_array_equal(found, metrics.coverage(measured, *interval))
    both = metrics.per_gene_spread(measured, predicted, genes=GENES, sd=sd, samples=samples)
    np.testing.assert_allclose(both["crps"], metrics.crps(measured, samples))
    assert list(both[list(gaussian)[1:]]) == list(gaussian)[1:]
    pd.testing.assert_frame_equal(both[list(gaussian)[1:]], gaussian.drop(columns="crps"))


@pytest.mark.parametrize(("n", "levels"), [(2, []), (3, [50]), (9, [50, 80]), (19, [50, 80, 90])])
def test_coverage_of_samples_when_they_are_enough(arrays, rng, n: int, levels: list[int]):
    measured, predicted, *_ = arrays.values()
    samples = rng.uniform(0, 3, size=(n, *measured.shape))
    found = metrics.per_gene_spread(measured, predicted, genes=GENES, samples=samples)
    assert list(found) == ["crps", *(f"coverage_{level}_samples" for level in levels)]
    for level in levels:
        interval = metrics.central_interval(samples, level=level / 100)
        covered = metrics.coverage(measured, *interval)
        np.testing.assert_array_equal(found[f"coverage_{level}_samples"], covered)


def test_spread_without_spread_has_no_columns(arrays):
    pair = arrays["measured"], arrays["predicted"]
    assert metrics.per_gene_spread(*pair, genes=GENES).shape == (2, 0)
    one = arrays["samples"][:1]
    assert metrics.per_gene_spread(*pair, genes=GENES, samples=one).shape == (2, 0)


def test_structure_of_the_mean_and_of_single_samples(arrays, graph):
    measured, predicted, _, samples = arrays.values()
    table = metrics.per_gene_structure(
        measured, predicted, genes=GENES, samples=samples, graph=graph
    )
    expected = {
        "variance": metrics.variance(measured),
        "variance_mean": metrics.variance(predicted),
        "variance_error_mean": metrics.variance_error(measured, predicted),
        "variance_samples": metrics.variance(samples).mean(axis=0),
        "variance_error_samples": metrics.variance_error(measured, samples),
        "morans_i": metrics.morans_i(measured, graph),
        "morans_i_mean": metrics.morans_i(predicted, graph),
        "morans_i_error_mean": metrics.morans_i_error(measured, predicted, graph),
        "morans_i_samples": metrics.morans_i(samples, graph).mean(axis=0),
        "morans_i_error_samples": metrics.morans_i_error(measured, samples, graph),
    }
    assert list(table) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values)
    short = metrics.per_gene_structure(measured, predicted, genes=GENES)
    assert list(short) == ["variance", "variance_mean", "variance_error_mean"]


def test_means_leave_out_what_is_undefined_and_count_it():
    table = pd.DataFrame({"x": [1.0, np.nan, 3.0], "y": [np.nan] * 3, "n_spots": [5, 5, 5]})
    found = metrics.means_of(table)
    assert found["x"] == 2.0
    assert np.isnan(found["y"])
    assert found["n_undefined"] == {"x": 1, "y": 3}
    assert "n_spots" not in found


def test_every_column_needs_a_name(arrays):
    pair = arrays["measured"], arrays["predicted"]
    for score in (metrics.per_gene, metrics.per_gene_structure):
        with pytest.raises(ValueError, match="1 gene names for 2 columns"):
            score(*pair, genes=["A"])
    with pytest.raises(ValueError, match="1 gene names for 2 columns"):
        metrics.per_gene_spread(*pair, genes=["A"], sd=arrays["sd"])


def test_depth_and_ceiling_beside_the_scores(rng):
    totals = rng.integers(500, 5000, size=40)
    counts = rng.binomial(totals[:, None], [0.05, 0.01])
    measured = np.log1p(1e4 * counts / totals[:, None])
    predicted = measured + rng.normal(size=measured.shape)
    settings = {"counts": counts, "totals": totals, "units": "cp10k", "seed": 3}
    table = metrics.per_gene_depth(measured, predicted, genes=GENES, **settings)
    depth = np.log1p(totals)
    expected = {
        "pearson_depth": metrics.pearson(measured, np.stack([depth, depth], axis=1)),
        "partial": metrics.partial(measured, predicted, depth),
        "ceiling": metrics.ceiling(counts, totals, units="cp10k", seed=3),
    }
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected, index=table.index))
    assert list(table.index) == GENES
    with pytest.raises(ValueError, match=r"Counts have shape \(40, 1\), .* \(40, 2\)"):
        metrics.per_gene_depth(
            measured, predicted, genes=GENES, **settings | {"counts": counts[:, :1]}
        )
    with pytest.raises(ValueError, match="1 gene names for 2 columns"):
        metrics.per_gene_depth(measured, predicted, genes=["A"], **settings)
