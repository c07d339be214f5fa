"""Scores of predictions in tables: known answers, several slides, and every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats
from spatialdata import SpatialData

from stflow.tl import evaluate

GENES = ["A", "B", "C", "D"]


def make_table(seed: int, *, panel: tuple[str, ...] = ("C", "A"), noise: float = 0.3) -> AnnData:
    """Counts of four genes, and a noisy prediction of two of them in another order."""
    rng = np.random.default_rng(seed)
    table = AnnData(
        sp.csr_matrix(rng.poisson(3.0, size=(40, 4)).astype(np.int32)),
        obs=pd.DataFrame(index=[f"s{i}" for i in range(40)]),
        var=pd.DataFrame(index=GENES),
    )
    truth = np.log1p(table[:, list(panel)].X.toarray().astype(float))
    values = truth + rng.normal(0, noise, truth.shape)
    table.obsm["stflow"] = pd.DataFrame(values, index=table.obs_names, columns=list(panel))
    return table


@pytest.fixture
def table() -> AnnData:
    return make_table(0)


def as_layer(table: AnnData) -> AnnData:
    """Move the prediction to a layer, NaN outside the panel."""
    frame = table.obsm.pop("stflow")
    table.layers["stflow"] = frame.reindex(columns=table.var_names).to_numpy()
    return table


def test_scores_compare_log_counts_with_the_prediction_by_name(table):
    scores = evaluate(table)
    truth = np.log1p(table.to_df())
    assert scores.index.tolist() == ["C", "A"]
    assert scores.index.name == "gene"
    assert list(scores.columns) == ["pearson", "spearman", "r2", "rmse", "n_spots"]
    for gene in scores.index:
        expected = stats.pearsonr(truth[gene], table.obsm["stflow"][gene]).statistic
        assert scores.loc[gene, "pearson"] == pytest.approx(expected)
    assert scores.attrs["pearson"] == pytest.approx(scores["pearson"].mean())
    assert scores.attrs["n_genes"] == 2


def test_a_perfect_prediction_scores_one_and_a_shuffled_one_does_not(table, rng):
    perfect = np.log1p(table.to_df()[["C", "A"]])
    table.obsm["perfect"] = perfect
    table.obsm["shuffled"] = perfect.sample(frac=1, random_state=1).set_axis(table.obs_names)
    assert evaluate(table, "perfect").attrs["pearson"] == pytest.approx(1.0)
    assert evaluate(table, "perfect").attrs["rmse"] == pytest.approx(0.0)
    assert abs(evaluate(table, "shuffled").attrs["pearson"]) < 0.4


def test_a_layer_serves_as_well_and_nan_columns_are_outside_the_panel(table):
    expected = evaluate(table).sort_index()
    found = evaluate(as_layer(table))
    assert found.index.tolist() == ["A", "C"]
    pd.testing.assert_frame_equal(found, expected)


def test_counts_may_be_dense_or_in_a_layer(table):
    expected = evaluate(table)
    dense = table.copy()
    dense.X = table.X.toarray()
    pd.testing.assert_frame_equal(evaluate(dense), expected)
    layered = table.copy()
    layered.layers["counts"] = table.X.copy()
    layered.X = np.log1p(table.X.toarray())
    pd.testing.assert_frame_equal(evaluate(layered, layer="counts"), expected)
    layered.X = None
    pd.testing.assert_frame_equal(evaluate(layered, layer="counts"), expected)


def test_genes_choose_and_order_the_rows(table):
    whole = evaluate(table)
    pd.testing.assert_frame_equal(evaluate(table, genes=["A", "C"]), whole.loc[["A", "C"]])
    assert evaluate(table, genes="A").index.tolist() == ["A"]


def test_spots_of_several_slides_are_pooled():
    tables = [make_table(seed, noise=0.3 + seed) for seed in range(2)]
    slides = {f"S{i}": SpatialData(tables={"table": t}) for i, t in enumerate(tables)}
    scores = evaluate(slides)
    truth = np.concatenate([np.log1p(t.to_df()["A"]) for t in tables])
    predicted = np.concatenate([t.obsm["stflow"]["A"] for t in tables])
    assert scores.loc["A", "pearson"] == pytest.approx(stats.pearsonr(truth, predicted).statistic)
    assert (scores["n_spots"] == 80).all()
    mean = np.mean([evaluate(one).loc["A", "pearson"] for one in slides.values()])
    assert scores.loc["A", "pearson"] != pytest.approx(mean)


def test_a_silent_gene_is_undefined_and_counted(table):
    table.X = table.X.toarray() * np.array([1, 1, 0, 1])
    scores = evaluate(table)
    assert np.isnan(scores.loc["C", "pearson"])
    assert scores.attrs["n_undefined"]["pearson"] == 1
    assert scores.attrs["pearson"] == scores.loc["A", "pearson"]


def test_nothing_is_written(table):
    before = table.copy()
    evaluate(table)
    assert list(table.obsm) == list(before.obsm)
    assert list(table.layers) == list(before.layers)
    assert (table.X != before.X).nnz == 0
    pd.testing.assert_frame_equal(table.obsm["stflow"], before.obsm["stflow"])


def test_no_prediction(table):
    table.layers["smooth"] = table.X.toarray().astype(float)
    message = (
        r"No prediction 'other' in table 'table'; obsm: 'stflow'; layers: 'smooth'.*tl\.predict"
    )
    with pytest.raises(KeyError, match=message):
        evaluate(table, "other")


def test_no_table(table):
    slide = SpatialData(tables={"table": table})
    with pytest.raises(KeyError, match=r"No table 'cells'; available: 'table'"):
        evaluate(slide, table_key="cells")
    with pytest.raises(TypeError, match="not list"):
        evaluate([slide])
    with pytest.raises(ValueError, match="empty dict"):
        evaluate({})


def test_nothing_measured(table):
    table.X = None
    with pytest.raises(ValueError, match=r"Nothing was measured in table 'table'.*`layer=`"):
        evaluate(table)


def test_panel_genes_that_were_not_measured(table):
    with pytest.raises(KeyError, match=r"1 of 2 genes .* measured genes .*: 'C'; available: 'A'"):
        evaluate(table[:, ["A", "B"]].copy())
    with pytest.raises(KeyError, match=r"1 of 1 genes .* predicted genes .*: 'B'; available: 'C'"):
        evaluate(table, genes=["B"])


def test_genes_must_be_named_once(table):
    with pytest.raises(ValueError, match="`genes` is empty"):
        evaluate(table, genes=[])
    with pytest.raises(ValueError, match="Duplicated genes: 'A'"):
        evaluate(table, genes=["A", "A"])


@pytest.mark.parametrize(
    ("value", "message"),
    [(0.5, "not whole numbers"), (-1.0, "negative"), (np.nan, "1 values that are NaN")],
)
def test_counts_that_are_not_counts(table, value, message):
    counts = table.X.toarray().astype(float)
    counts[3, 0] = value
    table.layers["counts"] = counts
    with pytest.raises(ValueError, match=rf"Layer 'counts' of table 'table' holds .*{message}"):
        evaluate(table, layer="counts")


def test_no_layer(table):
    with pytest.raises(KeyError, match="No layer 'raw'; available: none"):
        evaluate(table, layer="raw")


def test_predictions_that_are_not_finite(table):
    table.obsm["stflow"].iloc[0, 0] = np.nan
    with pytest.raises(ValueError, match="prediction 'stflow' in table 'table' holds 1 values"):
        evaluate(table)
    with pytest.raises(ValueError, match="prediction 'stflow' in table 'table' holds 1 values"):
        evaluate(as_layer(table))


def test_predictions_without_genes_or_names(table):
    table.obsm["bare"] = np.ones((40, 2))
    with pytest.raises(TypeError, match=r"obsm\['bare'\] .* ndarray, not a DataFrame"):
        evaluate(table, "bare")
    table.layers["none"] = np.full(table.shape, np.nan)
    with pytest.raises(ValueError, match="'none' in table 'table' holds no genes"):
        evaluate(table, "none")
    table.obsm["twice"] = table.obsm["stflow"].set_axis(["A", "A"], axis=1)
    with pytest.raises(ValueError, match="Duplicated genes in the prediction 'twice': 'A'"):
        evaluate(table, "twice")


def test_slides_predicted_for_other_genes_are_named():
    slides = {"S0": make_table(0), "S1": make_table(1, panel=("A", "B"))}
    slides = {name: SpatialData(tables={"table": table}) for name, table in slides.items()}
    with pytest.raises(ValueError, match=r"'S0' and .*'S1' .* only one has 'B', 'C'"):
        evaluate(slides)
    assert evaluate(slides, genes=["A"]).loc["A", "n_spots"] == 80
    with pytest.raises(KeyError, match=r"predicted genes of table 'table' of slide 'S1': 'C'"):
        evaluate(slides, genes=["C"])
