"""Scores of whole slides."""

from __future__ import annotations

import numpy as np
import pytest
from support import cp10k

import stflow as stf


@pytest.fixture
def predicted(tissue, model):
    for name in ("S1", "S2"):
        stf.tl.predict(tissue[name], model, keep_samples=True, show_progress_bar=False)
    return {name: tissue[name] for name in ("S1", "S2")}


def test_one_row_a_slide_with_the_means_over_genes(predicted) -> None:
    found = stf.tl.evaluate_slides(predicted)
    assert list(found.index) == ["S1", "S2"]
    alone = stf.tl.evaluate(predicted["S2"])
    row = found.loc["S2"]
    assert row["n_spots"] == predicted["S2"]["table"].n_obs
    assert row["n_genes"] == len(alone)
    assert row["pearson"] == pytest.approx(alone["pearson"].mean())
    for kind in ("mean", "samples"):
        name = f"gene_correlation_error_{kind}"
        assert row[name] == pytest.approx(alone.attrs[name])
    whole = stf.tl.evaluate(predicted)
    for name in ("gene_correlation_error_mean", "gene_structure", "spot_structure"):
        assert found[name].mean() == pytest.approx(whole.attrs[name])
    assert row["gene_structure"] == alone.attrs["gene_structure"]
    for name in ("pearson_depth", "partial", "ceiling"):
        assert row[name] == pytest.approx(alone[name].mean())


def test_spots_that_measured_too_little_are_counted(predicted) -> None:
    totals = predicted["S1"]["table"].X.sum(axis=1).A1
    floor = float(np.quantile(totals, 0.2))
    found = stf.tl.evaluate_slides(predicted, min_counts=floor)
    assert found.loc["S1", "n_left_out"] == (totals < floor).sum() > 5
    assert found.loc["S1", "n_spots"] == (totals >= floor).sum()
    assert found["n_left_out"].sum() == stf.tl.evaluate(predicted, min_counts=floor).attrs["n_left_out"]


def test_a_prediction_that_is_the_truth_has_no_error(predicted) -> None:
    table = predicted["S1"]["table"]
    panel = list(table.obsm["stflow"].columns)
    table.obsm["stflow"] = cp10k(table)[panel]
    row = stf.tl.evaluate_slides(predicted["S1"]["table"]).iloc[0]
    assert row["pearson"] == pytest.approx(1)
    assert row["gene_correlation_error_mean"] == pytest.approx(0, abs=1e-6)


def test_a_slide_without_a_prediction(tissue) -> None:
    with pytest.raises(KeyError, match="stflow"):
        stf.tl.evaluate_slides(tissue["S3"])
