"""Scores of gene sets: what is known by hand, what holds for a law, and every refusal."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from sampled import GENES, N_SAMPLES, N_SPOTS, predicted
from support import SHAPE, SMALL, make_tissue

import stflow as stf
from stflow.metrics import normal_sd

SETS = {"two": ["A", "B"], "all": GENES}


@pytest.fixture
def independent(rng) -> AnnData:
    return predicted(rng.standard_normal((N_SPOTS, 4, N_SAMPLES)))


def test_scores_are_means_over_the_genes_of_a_set(independent) -> None:
    stf.tl.score_genes(independent, SETS)
    scores = independent.obsm["stflow_scores"]
    assert list(scores) == ["two", "all"]
    np.testing.assert_allclose(scores["two"], 5.5)
    np.testing.assert_allclose(scores["all"], 6.5)
    told = independent.uns["stflow_scores"]
    assert list(told["used"]) == ["A,B", "A,B,C,D/E"]
    assert list(told["missing"]) == ["", ""]


@pytest.mark.parametrize(("alike", "expected"), [(0.0, 0.5), (1.0, 1.0)])
def test_genes_that_go_together_are_no_surer_than_one(rng, alike, expected) -> None:
    own, shared = (rng.standard_normal((N_SPOTS, n, N_SAMPLES)) for n in (4, 1))
    table = predicted(np.sqrt(alike) * shared + np.sqrt(1 - alike) * own)
    stf.tl.score_genes(table, SETS)
    assert table.obsm["stflow_scores_sd"]["all"].mean() == pytest.approx(expected, rel=0.03)


def test_samples_are_brought_to_the_calibrated_deviation(rng) -> None:
    """Samples that spread half as far as the sd says count as if they did."""
    normal = rng.standard_normal((N_SPOTS, 4, N_SAMPLES))
    wide, narrow = predicted(normal), predicted(0.5 * normal)
    for table in (wide, narrow):
        stf.tl.score_genes(table, SETS)
    one, other = (table.obsm["stflow_scores_sd"].to_numpy() for table in (wide, narrow))
    np.testing.assert_allclose(one, other, rtol=1e-4)


@given(seed=st.integers(0, 99), alike=st.floats(0, 1))
def test_a_score_is_never_less_sure_than_its_genes_on_average(seed: int, alike: float) -> None:
    rng = np.random.default_rng(seed)
    normal = alike * rng.standard_normal((6, 1, 100)) + rng.standard_normal((6, 3, 100))
    table = predicted(normal, sd=normal.std(2, ddof=1))
    stf.tl.score_genes(table, {"all": GENES[:3]})
    genes = table.obsm["stflow_sd"].mean(axis=1)
    assert (table.obsm["stflow_scores_sd"]["all"] <= genes * 1.2).all()


def test_a_shift_of_the_slide_is_told_apart_and_makes_high_levels_wide(rng) -> None:
    whole = rng.standard_normal((1, 1, N_SAMPLES))
    table = predicted(np.sqrt(0.5) * (whole + rng.standard_normal((N_SPOTS, 4, N_SAMPLES))))
    table.uns["stflow"] = {
        "shift": np.full(4, 0.5),
        "shift_df": 2.0,
        "genes": np.array(GENES),
        "units": "cp10k",
    }
    stf.tl.score_genes(table, SETS)
    told = table.uns["stflow_scores"]
    assert told["shift"] * normal_sd(2.0) == pytest.approx(np.sqrt(0.5), rel=0.15)
    lower, upper = stf.get.intervals(table, level=0.98, key="stflow_scores")
    normal = 2 * 2.326 * table.obsm["stflow_scores_sd"]["all"]
    assert ((upper - lower)["all"] > 1.3 * normal).all()


def test_what_the_panel_lacks_is_said(independent) -> None:
    with (
        pytest.warns(UserWarning, match="without a gene of the panel are left out: 'none'"),
        pytest.warns(UserWarning, match="are no part of a score: 'some 1 of 2'"),
    ):
        stf.tl.score_genes(independent, {"some": ["A", "X", "A"], "none": ["Y"], "own": ["B"]})
    assert list(independent.obsm["stflow_scores"]) == ["some", "own"]
    assert list(independent.uns["stflow_scores"]["missing"]) == ["X", ""]


def test_a_gmt_file(independent, tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("two\tfrom a paper\tA\tB\n\nall\t\tA\tB\tC\tD/E\n")
    copy = stf.tl.score_genes(independent, path, inplace=False)
    stf.tl.score_genes(independent, SETS)
    pd.testing.assert_frame_equal(copy.obsm["stflow_scores"], independent.obsm["stflow_scores"])


def test_they_are_kept_by_a_store_and_replaced_only_when_asked(independent, tmp_path: Path) -> None:
    sets = {"with/slash": ["A", "D/E"]}
    assert stf.tl.score_genes(independent, sets) is None
    independent.write_h5ad(tmp_path / "scored.h5ad")
    again = ad.read_h5ad(tmp_path / "scored.h5ad")
    lower, _ = stf.get.intervals(again, key="stflow_scores")
    assert list(lower) == ["with%2Fslash"]
    with pytest.raises(ValueError, match=r"already holds 'stflow_scores'.*`overwrite=True`"):
        stf.tl.score_genes(again, SETS)
    stf.tl.score_genes(again, SETS, overwrite=True)
    stf.tl.score_genes(again, SETS, key_added="others")
    assert list(again.obsm["others"]) == ["two", "all"]


@pytest.mark.parametrize("key", ["stflow", "stflow_sd", "stflow_samples"])
def test_the_prediction_is_never_written_over(independent, key: str) -> None:
    with pytest.raises(ValueError, match=rf"write over '{key}'.*, which this call reads"):
        stf.tl.score_genes(independent, {"a": ["A"]}, key_added=key, overwrite=True)


@pytest.mark.parametrize(
    ("sets", "error", "message"),
    [
        ({}, ValueError, "There are no gene sets"),
        ({"x": []}, ValueError, "Gene set 'x' is empty"),
        ({"x": ["Q"]}, ValueError, "No gene of 'x' is in the panel, which holds 'A', 'B'"),
        ({"x": "A"}, TypeError, "Gene set 'x' is 'A', not a list of genes"),
        ({"x": [1]}, TypeError, "holds 1, which is no name"),
        ({1: ["A"], "1": ["B"]}, ValueError, "Duplicated gene sets: '1'"),
        (["A", "B"], TypeError, "`gene_sets` is a list, neither a mapping"),
        ("no/such.gmt", FileNotFoundError, "no/such.gmt"),
    ],
)
def test_bad_sets(independent, sets, error, message) -> None:
    with pytest.raises(error, match=message):
        stf.tl.score_genes(independent, sets)
    assert "stflow_scores" not in independent.obsm


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\tb\n", "Line 1 of .* is no line of a GMT file"), ("a\t\tA\na\t\tB\n", "Duplicated gene")],
)
def test_bad_files(independent, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.gmt").write_text(text)
    with pytest.raises(ValueError, match=message):
        stf.tl.score_genes(independent, tmp_path / "x.gmt")


def test_without_samples_it_says_how_to_get_them(independent) -> None:
    del independent.obsm["stflow_samples"]
    with pytest.raises(KeyError, match=r"No samples .* Run `stf.tl.predict\(..., n_samples=100"):
        stf.tl.score_genes(independent, SETS)
    del independent.obsm["stflow_sd"]
    with pytest.raises(KeyError, match="No standard deviation"):
        stf.tl.score_genes(independent, SETS)
    with pytest.raises(KeyError, match=r"No prediction 'other'.*`stf.tl.predict` first"):
        stf.tl.score_genes(independent, SETS, "other")


def test_few_samples_are_told(rng) -> None:
    normal = rng.standard_normal((N_SPOTS, 4, 8))
    with pytest.warns(UserWarning, match="of 8 samples"):
        stf.tl.score_genes(predicted(normal), SETS)
    with pytest.raises(ValueError, match="one sample alone"):
        stf.tl.score_genes(predicted(normal[..., :1]), SETS)


@pytest.mark.slow
def test_intervals_hold_what_is_measured_on_a_slide_left_out() -> None:
    slides = make_tissue(4, n_spots=200, seed=3)
    *train, test = slides
    data = {name: slides[name] for name in train}
    genes = stf.pp.select_genes(data, n_top_genes=10)
    how = {**SMALL, "config": {**SHAPE, "n_flows": 2}, "max_epochs": 10}
    stf.tl.predict(slides[test], stf.tl.fit(data, genes, **how), n_samples=100, keep_samples=True)
    sets = {"all": genes, "half": genes[::2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stf.tl.score_genes(slides[test], sets)
    (slide,) = stf.get.slides(slides[test], genes)
    for level in (0.5, 0.8, 0.9):
        lower, upper = stf.get.intervals(slides[test], level=level, key="stflow_scores")
        for name, members in sets.items():
            measured = slide.expression[:, np.isin(genes, members)].mean(1)
            held = ((lower[name] < measured) & (measured < upper[name])).mean()
            assert held == pytest.approx(level, abs=0.1), (name, level)
