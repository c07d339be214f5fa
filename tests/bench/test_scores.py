"""Scores of a fold: known answers, and what is left out of means."""

from __future__ import annotations

import numpy as np
import pytest

from stflow._units import UNITS, log_expression
from stflow.bench._scores import score

N, G = 400, 12


@pytest.fixture
def tissue(rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares (N, G) of two programmes, totals that have nothing to do with them, and counts."""
    programmes = rng.normal(size=(N, 2)) @ rng.normal(size=(2, G))
    shares = np.exp(0.7 * programmes) / 300
    totals = np.rint(np.exp(rng.normal(10.0, 1.0, N)))
    counts = rng.binomial(totals.astype(int)[:, None], shares.clip(0, 1 / G))
    return shares.clip(0, 1 / G), totals, counts.astype(float)


@pytest.mark.parametrize("units", UNITS)
def test_depth_scores_raw_counts_and_hardly_shares(units, tissue):
    shares, totals, counts = tissue
    measured = log_expression(counts, totals, units)
    truth = log_expression(shares * totals[:, None], totals, units)
    found = score(measured, truth, totals=totals, units=units, seed=0)
    assert (found["pearson_depth"] > 0.6) == (units == "counts")
    assert found["pearson"] == pytest.approx(found["ceiling"], abs=0.03)
    assert found["partial"] > 0.6
    assert found["gene_structure"] > 0.9
    assert found["spot_structure"] > 0.7
    assert (found["n_genes"], found["n_undefined"]) == (G, 0)


def test_depth_itself_predicts_raw_counts_and_nothing_beside_it(tissue, rng):
    _, totals, counts = tissue
    measured = log_expression(counts, totals, "counts")
    depth = np.log1p(totals)[:, None] + rng.normal(0, 0.01, measured.shape)
    found = score(measured, depth, totals=totals, units="counts", seed=0)
    assert found["pearson"] == pytest.approx(found["pearson_depth"], abs=0.01)
    assert abs(found["partial"]) < 0.1
    assert abs(found["gene_structure"]) < 0.4


def test_constant_predictions_count_as_nothing_and_constant_genes_not_at_all():
    measured = np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 5.0], [2.0, 2.0, 5.0]])
    predicted = np.array([[0.0, 7.0, 1.0], [2.0, 7.0, 2.0], [4.0, 7.0, 3.0]])
    totals = np.array([900.0, 800.0, 1000.0])
    found = score(measured, predicted, totals=totals, units="counts", seed=0)
    assert found["pearson"] == pytest.approx(0.5)
    assert found["partial"] == pytest.approx(0.5)
    assert (found["n_genes"], found["n_undefined"]) == (3, 1)
    assert np.isnan(found["gene_structure"])


def test_where_no_gene_varies_there_is_no_score():
    flat = np.ones((4, 2))
    found = score(flat, flat, totals=np.full(4, 9.0), units="cp10k", seed=0)
    undefined = {name: value for name, value in found.items() if not name.startswith("n_")}
    assert np.isnan(list(undefined.values())).all()
    assert found["n_undefined"] == 2


def test_another_seed_splits_counts_otherwise(tissue):
    shares, totals, counts = tissue
    measured = log_expression(counts, totals, "cp10k")
    one, same, other = (
        score(measured, shares, totals=totals, units="cp10k", seed=seed) for seed in (0, 0, 1)
    )
    assert one == same
    assert one["ceiling"] != other["ceiling"]
    assert one["ceiling"] == pytest.approx(other["ceiling"], abs=0.01)


def test_best_genes_are_fifty_of_more(rng):
    measured = rng.normal(size=(30, 80))
    noise = np.linspace(0, 3, 80) * rng.normal(size=(30, 80))
    how = {"totals": np.full(30, 9e3), "units": "cp10k", "seed": 0, "smoothed": True}
    found = score(measured, measured + noise, **how)
    each = [np.corrcoef(measured[:, g], (measured + noise)[:, g])[0, 1] for g in range(80)]
    assert found["pearson_best"] == pytest.approx(np.sort(each)[-50:].mean())
    assert found["pearson_best"] > found["pearson"] == pytest.approx(np.mean(each))
    few = score(measured[:, :50], (measured + noise)[:, :50], **how)
    assert np.isnan(few["pearson_best"])


def test_smoothed_labels_have_no_ceiling_and_all_else(tissue):
    shares, totals, counts = tissue
    measured = log_expression(counts, totals, "cp10k")
    how = {"totals": totals, "units": "cp10k", "seed": 0}
    plain, smoothed = (score(measured, shares, **how, smoothed=each) for each in (False, True))
    assert np.isnan(smoothed.pop("ceiling"))
    assert plain.pop("ceiling") > 0
    assert smoothed == pytest.approx(plain, nan_ok=True)
