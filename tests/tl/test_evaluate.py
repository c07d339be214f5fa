"""Scores of predictions in tables: known answers, several slides, and every refusal."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy import stats
from spatialdata import SpatialData

from stflow import metrics
from stflow.datasets import synthetic
from stflow.pp import neighbors
from stflow.tl import evaluate as evaluate_in
from stflow.tl import evaluate_slides

evaluate = partial(evaluate_in, units="counts")
GENES = ["A", "B", "C", "D"]
POINT = ["pearson", "spearman", "r2", "rmse", "n_spots"]
DEPTH = ["pearson_depth", "partial", "ceiling"]


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
    variances = ["variance", "variance_mean", "variance_error_mean"]
    assert list(scores.columns) == [*POINT, *DEPTH, *variances]
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
    expected = evaluate(table, genes=["A", "C"])
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
    """All but the ceiling, which is drawn for the genes that are asked for."""
    whole = evaluate(table).loc[["A", "C"]]
    turned = evaluate(table, genes=["A", "C"])
    pd.testing.assert_frame_equal(turned.drop(columns="ceiling"), whole.drop(columns="ceiling"))
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


def test_nothing_measured_on_a_slide_of_the_panel_alone(table):
    """Genes that the panel leaves out are not what is missing, and predictions are no counts."""
    few = table[:, ["A"]].copy()
    few.X, few.layers["stflow"] = None, np.zeros((few.n_obs, 1))
    few.uns["stflow"] = {"total_genes": np.array(["A", "B"]), "total_shares": np.array([0.2, 0.8])}
    with pytest.raises(ValueError, match=r"Nothing was measured in table 'table'.*layers: none"):
        evaluate(few)


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
    with pytest.raises(KeyError, match="No layer in table 'table': 'raw'; available: none"):
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


def add_distribution(
    table: AnnData, *, spread: float = 0.3, n_samples: int | None = None, seed: int = 5
) -> AnnData:
    """Add a standard deviation, and samples with it when a number is given."""
    frame = table.obsm["stflow"]
    table.obsm["stflow_sd"] = frame * 0 + spread
    if n_samples is not None:
        noise = np.random.default_rng(seed).normal(0, spread, (*frame.shape, n_samples))
        table.obsm["stflow_samples"] = (frame.to_numpy()[..., None] + noise).astype(np.float32)
    return table


def add_graph(table: AnnData) -> AnnData:
    """Put the spots on a line on which each has its two neighbours."""
    line = sp.csr_matrix(np.eye(table.n_obs, k=1) + np.eye(table.n_obs, k=-1))
    table.obsp["spatial_connectivities"] = line
    return table


def arrays(table: AnnData, panel: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return np.log1p(table.to_df()[panel].to_numpy(float)), table.obsm["stflow"][panel].to_numpy()


def two_slides() -> dict[str, SpatialData]:
    """Slides of 40 and 25 spots that differ in how good their prediction is."""
    tables = [make_table(0), make_table(1, noise=1.3)[:25].copy()]
    for i, table in enumerate(tables):
        add_graph(add_distribution(table, n_samples=4 + i))
    return {f"S{i}": SpatialData(tables={"table": table}) for i, table in enumerate(tables)}


def test_a_standard_deviation_gives_the_scores_of_a_gaussian(table):
    scores = evaluate(add_distribution(table))
    measured, predicted = arrays(table, ["C", "A"])
    sd = np.full_like(predicted, 0.3)
    expected = metrics.crps_gaussian(measured, predicted, sd)
    np.testing.assert_allclose(scores["crps"], expected)
    assert scores.attrs["crps"] == pytest.approx(expected.mean())
    for level in (0.5, 0.8, 0.9):
        interval = metrics.gaussian_interval(predicted, sd, level=level)
        found = scores[f"coverage_{100 * level:.0f}"]
        np.testing.assert_allclose(found, metrics.coverage(measured, *interval))
        assert found.mean() == pytest.approx(level, abs=0.12)
    proud = evaluate(add_distribution(table, spread=0.05))
    assert proud.attrs["coverage_90"] < 0.5
    assert proud.attrs["crps"] > scores.attrs["crps"]


def test_coverage_is_that_of_a_slide_that_shifts(table):
    """The intervals of few patients are wide; the score of the sd stays that of a normal."""
    normal = evaluate(add_distribution(table))
    shift = np.array([0.3, 0.0]) / metrics.normal_sd(1)
    table.uns["stflow"] = {"genes": np.array(["C", "A"]), "shift": shift, "shift_df": 1.0}
    measured, predicted = arrays(table, ["C", "A"])
    sd = np.full_like(predicted, 0.3)
    slides = {"S0": SpatialData(tables={"table": table}), "S1": two_slides()["S1"]}
    for scores in (evaluate(table), evaluate(slides, per_slide=True).loc["S0"]):
        for level in (0.5, 0.8, 0.9):
            interval = metrics.shifted_interval(predicted, sd, shift=shift, df=1, level=level)
            expected = metrics.coverage(measured, *interval)
            np.testing.assert_allclose(scores[f"coverage_{100 * level:.0f}"], expected)
        pd.testing.assert_series_equal(scores["crps"], normal["crps"])
        assert scores.loc["C", "coverage_50"] < normal.loc["C", "coverage_50"]
        assert scores.loc["C", "coverage_90"] > normal.loc["C", "coverage_90"]
    (row,) = evaluate_slides(table, units="counts").to_dict("records")
    assert row["coverage_90"] == pytest.approx(evaluate(table)["coverage_90"].mean())
    table.obs["stflow_observed"] = np.arange(40) == 0
    told = evaluate(table)
    del table.uns["stflow"]
    pd.testing.assert_frame_equal(told, evaluate(table))


def test_a_standard_deviation_may_be_a_layer(table):
    expected = evaluate(add_distribution(table), genes=["A", "C"])
    spread = table.obsm.pop("stflow_sd").reindex(columns=table.var_names)
    table.layers["stflow_sd"] = spread.to_numpy()
    pd.testing.assert_frame_equal(evaluate(as_layer(table)), expected)


def test_samples_are_scored_themselves_and_follow_the_genes(table):
    add_graph(add_distribution(table, n_samples=6))
    samples = np.moveaxis(table.obsm["stflow_samples"], 2, 0)
    for panel, order in ((["C", "A"], [0, 1]), (["A", "C"], [1, 0]), (["A"], [1])):
        scores = evaluate(table, genes=panel)
        measured, predicted = arrays(table, panel)
        draws, graph = samples[:, :, order], table.obsp["spatial_connectivities"]
        known = metrics.per_gene_structure(
            measured, predicted, genes=panel, samples=draws, graph=graph
        )
        np.testing.assert_allclose(scores["crps"], metrics.crps(measured, draws))
        pd.testing.assert_frame_equal(scores[list(known)], known)
    assert {"morans_i_samples", "morans_i_error_samples", "variance_samples"} <= set(scores)


def test_errors_of_the_structure_are_in_the_attributes(table):
    scores = evaluate(add_graph(add_distribution(table, n_samples=6)))
    measured, predicted = arrays(table, ["C", "A"])
    samples = np.moveaxis(table.obsm["stflow_samples"], 2, 0)
    for kind, values in (("mean", predicted), ("samples", samples)):
        expected = metrics.gene_correlation_error(measured, values)
        assert scores.attrs[f"gene_correlation_error_{kind}"] == pytest.approx(expected)
        for name in (f"variance_error_{kind}", f"morans_i_error_{kind}"):
            assert scores.attrs[name] == pytest.approx(scores[name].mean())
    bare = evaluate(make_table(0))
    assert "gene_correlation_error_samples" not in bare.attrs
    assert not [name for name in bare if name.startswith("morans_i")]


def test_structure_is_averaged_over_slides_and_spread_over_spots():
    slides = two_slides()
    scores = evaluate(slides)
    alone = {name: evaluate(slide) for name, slide in slides.items()}
    for name in ("morans_i", "morans_i_samples", "variance_mean", "variance_error_samples"):
        expected = (alone["S0"][name] + alone["S1"][name]) / 2
        pd.testing.assert_series_equal(scores[name], expected)
    for name in ("crps", "coverage_50", "coverage_90"):
        expected = (40 * alone["S0"][name] + 25 * alone["S1"][name]) / 65
        pd.testing.assert_series_equal(scores[name], expected)
    for name in ("gene_correlation_error_mean", "gene_correlation_error_samples"):
        expected = np.mean([one.attrs[name] for one in alone.values()])
        assert scores.attrs[name] == pytest.approx(expected)
    assert scores.attrs["n_slides"] == 2


def test_slides_may_have_rows_of_their_own():
    slides = two_slides()
    scores = evaluate(slides, per_slide=True)
    assert scores.index.names == ["slide", "gene"]
    assert scores.index.tolist() == [("S0", "C"), ("S0", "A"), ("S1", "C"), ("S1", "A")]
    for name, slide in slides.items():
        pd.testing.assert_frame_equal(scores.loc[name], evaluate(slide))
    assert scores.attrs["pearson"] == pytest.approx(scores["pearson"].mean())
    assert scores.attrs["pearson"] != pytest.approx(evaluate(slides).attrs["pearson"])
    assert (scores.attrs["n_genes"], scores.attrs["n_slides"]) == (2, 2)


def test_a_gene_silent_on_one_slide_is_counted_there():
    slides = two_slides()
    table = slides["S1"]["table"]
    table.X = table.X.toarray() * np.array([1, 1, 0, 1])
    scores = evaluate(slides, per_slide=True)
    assert np.isnan(scores.loc[("S1", "C"), ["pearson", "morans_i", "variance_error_mean"]]).all()
    assert scores.attrs["n_undefined"]["pearson"] == 1
    assert scores.attrs["n_undefined"]["morans_i_error_samples"] == 1
    assert scores.attrs["pearson"] == pytest.approx(scores["pearson"].dropna().mean())
    pooled = evaluate(slides)
    assert pooled.loc["C", "morans_i"] == scores.loc[("S0", "C"), "morans_i"]
    assert pooled.attrs["n_undefined"]["morans_i"] == 0
    only = evaluate({"S0": slides["S0"]}).attrs["gene_correlation_error_mean"]
    assert pooled.attrs["gene_correlation_error_mean"] == pytest.approx(only)


def test_columns_need_every_slide():
    slides = two_slides()
    for part, lost in (("stflow_sd", "coverage_50"), ("stflow_samples", "variance_samples")):
        assert lost in evaluate(slides)
        del slides["S1"]["table"].obsm[part]
        assert lost not in evaluate(slides)
        assert lost in evaluate(slides["S0"])
    assert list(evaluate(slides, per_slide=True))[:5] == POINT


def test_each_element_of_a_table_is_a_slide(two_regions):
    table = two_regions["table"]
    truth = np.log1p(table.to_df().iloc[:, :3].astype(float))
    table.obsm["stflow"] = truth + np.random.default_rng(0).normal(0, 0.3, truth.shape)
    apart = evaluate(two_regions, per_slide=True)
    assert set(apart.index.unique("slide")) == {"a", "b"}
    rows = (table.obs["region"] == "a").to_numpy()
    graph = table.obsp["spatial_connectivities"][rows][:, rows]
    expected = metrics.morans_i(truth[rows].to_numpy(), graph)
    np.testing.assert_allclose(apart.loc["a", "morans_i"], expected)
    named = evaluate({"T": two_regions}, per_slide=True)
    assert set(named.index.unique("slide")) == {"T/a", "T/b"}
    assert evaluate(two_regions).attrs["n_slides"] == 2


def test_a_slide_alone_has_the_name_of_its_spots(table):
    sdata = synthetic(1, n_spots=25, n_genes=3, image_mpp=10.0)["S1"]
    slide_table = sdata["table"]
    slide_table.obsm["stflow"] = np.log1p(slide_table.to_df())
    neighbors(sdata)
    assert evaluate(sdata, per_slide=True).index[0][0] == "spots"
    assert evaluate(table, per_slide=True).index[0][0] == "slide"
    assert evaluate(sdata).attrs["morans_i_error_mean"] == pytest.approx(0.0, abs=1e-6)


def test_one_sample_shows_its_structure_but_no_distribution(table):
    add_graph(add_distribution(table, n_samples=1))
    del table.obsm["stflow_sd"]
    scores = evaluate(table)
    assert "crps" not in scores
    assert "morans_i_samples" in scores


def test_samples_that_do_not_fit(table):
    add_distribution(table, n_samples=3)
    samples = table.obsm["stflow_samples"]
    message = r"'stflow_samples'\] of table 'table' has shape .*40 spots and 2 genes.*keep_samples"
    for wrong in (samples[:, :1], samples[:, :, 0], samples[:, :, :0]):
        table.obsm["stflow_samples"] = wrong
        with pytest.raises(ValueError, match=message):
            evaluate(table)
    table.obsm["stflow_samples"] = np.where(samples > samples.min(), samples, np.nan)
    with pytest.raises(ValueError, match=r"'stflow_samples'.* holds 1 values that are NaN"):
        evaluate(table)


def test_standard_deviations_that_are_none(table):
    add_distribution(table)
    table.obsm["stflow_sd"].iloc[0, 0] = -0.1
    with pytest.raises(ValueError, match="1 standard deviations are negative"):
        evaluate(table)
    table.obsm["stflow_sd"].iloc[0, 0] = np.inf
    with pytest.raises(ValueError, match="prediction 'stflow_sd' in table 'table' holds 1 values"):
        evaluate(table)
    table.obsm["stflow_sd"] = table.obsm["stflow"][["A"]] * 0 + 1
    with pytest.raises(KeyError, match=r"the genes of 'stflow_sd' in table 'table': 'C'"):
        evaluate(table)
