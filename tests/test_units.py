"""Units of expression, from counts and totals to scores: what is divided by what, and refused."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from spatialdata import SpatialData
from support import CV_FAST, SHAPE, SMALL, cp10k

import stflow as stf
from stflow._units import are_enough, log_expression, raw_counts

PANEL = ["GENE001", "GENE002", "GENE003"]
ALONE = {**SMALL, "max_epochs": 1, "config": {**SHAPE, "n_auxiliary": 0}}
QUIET: dict[str, Any] = {"n_samples": 2, "n_steps": 1, "show_progress_bar": False}
LACK = r"lack \d+ that hold \d+% of the counts elsewhere .*`total_key='total_counts'`"


def totals(table: AnnData) -> np.ndarray:
    return np.ravel(table.X.sum(axis=1)).astype(float)


def filtered(sdata: SpatialData, genes: list[str]) -> SpatialData:
    """Copy of a slide whose table has some genes alone, and in ``.obs`` the totals of all."""
    found = deepcopy(sdata)
    table = found["table"]
    table.obs["all"] = totals(table)
    del found.tables["table"]
    found.tables["table"] = table[:, genes].copy()
    return found


def with_empty_spots(sdata: SpatialData, n_spots: int = 3) -> np.ndarray:
    """Leave the first spots of a slide a single count, and tell which they are."""
    table = sdata["table"]
    counts = table.X.toarray()
    counts[:n_spots] = 0
    counts[:n_spots, 0] = 1
    table.X = type(table.X)(counts)
    return np.arange(table.n_obs) < n_spots


def weights(model: stf.STFlow) -> dict[str, np.ndarray]:
    return {name: each.numpy() for name, each in model.ensemble.state_dict().items()}


def same(one: stf.STFlow, two: stf.STFlow) -> bool:
    first, second = weights(one), weights(two)
    return all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def test_counts_per_10000_of_known_counts() -> None:
    counts, depth = np.array([[1, 3], [0, 5], [0, 0]]), np.array([10, 20, 0])
    wanted = np.log1p([[1000, 3000], [0, 2500], [0, 0]])
    np.testing.assert_allclose(log_expression(counts, depth, "cp10k"), wanted)
    np.testing.assert_allclose(log_expression(counts, None, "counts"), np.log1p(counts))


@given(npst.arrays(np.int64, (4, 3), elements=st.integers(0, 9999)), st.integers(0, 10**6))
def test_counts_come_back(counts: np.ndarray, others: int) -> None:
    depth = counts.sum(axis=1) + others
    for units in ("cp10k", "counts"):
        expression = log_expression(counts, depth, units)
        np.testing.assert_array_equal(raw_counts(expression, depth, units), counts)


@pytest.mark.parametrize(
    ("depth", "floor", "wanted"),
    [
        ([99, 100, 5000, 5000, 5000], None, [0, 1, 1, 1, 1]),
        ([19, 20, 200, 200, 200], None, [0, 1, 1, 1, 1]),
        ([0, 1, 200, 200, 200], 0, [1, 1, 1, 1, 1]),
        ([0, 1, 200, 200, 200], 1, [0, 1, 1, 1, 1]),
        ([0, 0, 0, 0, 5], None, [1, 1, 1, 1, 1]),
    ],
)
def test_the_floor_is_100_or_a_tenth_of_the_median(depth, floor, wanted) -> None:
    assert are_enough(np.array(depth), floor).tolist() == [bool(each) for each in wanted]


def test_totals_are_over_all_genes_of_the_table_not_over_the_panel(tissue) -> None:
    table = tissue["S1"]["table"]
    table.obsm["whole"] = cp10k(table)[PANEL]
    table.obsm["panel"] = cp10k(table[:, PANEL])
    whole, panel = (stf.tl.evaluate(table, key, units="cp10k").attrs for key in ("whole", "panel"))
    assert whole["rmse"] == pytest.approx(0, abs=1e-9)
    assert panel["rmse"] > 0.5
    assert (whole["units"], whole["n_left_out"]) == ("cp10k", 0)


def test_columns_of_depth_are_those_of_the_metrics(tissue) -> None:
    table = tissue["S1"]["table"]
    rng = np.random.default_rng(0)
    table.obsm["mine"] = cp10k(table)[PANEL] + rng.normal(size=(table.n_obs, 3))
    scores = stf.tl.evaluate(table, "mine", units="cp10k", seed=3)
    pair = cp10k(table)[PANEL].to_numpy(), table.obsm["mine"].to_numpy()
    raw = {"counts": table[:, PANEL].X.toarray(), "totals": totals(table), "units": "cp10k"}
    wanted = stf.metrics.per_gene_depth(*pair, genes=PANEL, seed=3, **raw)
    pd.testing.assert_frame_equal(scores[list(wanted)], wanted)


def test_predict_reads_no_counts_or_totals_of_spots_that_are_not_observed(tissue, model) -> None:
    """Negative control: those of observed spots."""
    sdata, rng = tissue["S1"], np.random.default_rng(1)
    table = sdata["table"]
    table.obs["all"] = totals(table) * rng.uniform(1, 3, table.n_obs)
    seen = np.arange(table.n_obs) % 4 == 0
    order = {}
    for name, mask in (("as they are", []), ("others", ~seen), ("observed", seen)):
        rows = np.arange(table.n_obs)
        rows[mask] = rng.permutation(rows[mask])
        order[name] = rows
    found = {}
    for name, rows in order.items():
        changed = deepcopy(sdata)
        changed["table"].X = table.X[rows]
        changed["table"].obs["all"] = table.obs["all"].to_numpy()[rows]
        for how in ({}, {"observed": seen}, {"observed": seen, "total_key": "all"}):
            out = stf.tl.predict(changed, model, inplace=False, **QUIET, **how)
            found[name, len(how)] = out.obsm["stflow"].to_numpy()
    for n_given in range(3):
        assert np.array_equal(found["others", n_given], found["as they are", n_given])
        assert np.array_equal(found["observed", n_given], found["as they are", 0]) == (n_given == 0)


def test_a_column_of_totals_stands_for_the_genes_that_tables_lack(tissue) -> None:
    """Filtered tables with the totals of all genes teach what whole tables do."""
    part = {name: filtered(sdata, PANEL) for name, sdata in tissue.items()}
    whole = stf.tl.fit(tissue, PANEL, **ALONE)
    assert same(stf.tl.fit(part, PANEL, total_key="all", **ALONE), whole)
    assert not same(stf.tl.fit(part, PANEL, **ALONE), whole)


def test_tables_that_lack_genes_are_refused_by_fit_and_cross_validate(tissue) -> None:
    part = {**tissue, "S2": filtered(tissue["S2"], [*PANEL, "GENE004"])}
    for sdata in tissue.values():
        sdata["table"].obs["all"] = totals(sdata["table"])
    how = {**CV_FAST, "genes": PANEL}
    for refused in (
        lambda **units: stf.tl.fit(part, PANEL, **ALONE, **units),
        lambda **units: stf.tl.cross_validate(part, **how, **units),
    ):
        with pytest.raises(ValueError, match=f"4 genes of .*S2.* {LACK}, or take `units='counts'`"):
            refused()
        refused(units="counts")
        refused(total_key="all")


def test_a_table_that_lacks_rare_genes_is_taken(tissue) -> None:
    table = tissue["S1"]["table"]
    shares = pd.Series(np.ravel(table.X.sum(axis=0)) / table.X.sum(), table.var_names)
    rare = shares.drop(PANEL).idxmin()
    assert shares[rare] < 0.05
    kept = [gene for gene in table.var_names if gene != rare]
    stf.tl.fit({**tissue, "S2": filtered(tissue["S2"], kept)}, PANEL, **ALONE)


def test_tables_that_lack_genes_of_the_fit_are_not_compared(tissue, model) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, **QUIET)
    part = filtered(sdata, list(model.genes))
    for refused in (stf.tl.evaluate, stf.tl.evaluate_slides, stf.pl.calibration):
        with pytest.raises(ValueError, match=f"8 genes of table 'table' {LACK}"):
            refused(part)
    with pytest.raises(ValueError, match=LACK):
        stf.pl.gene_maps(part, model.genes[0])
    known, whole = stf.tl.evaluate(part, total_key="all"), stf.tl.evaluate(sdata)
    pd.testing.assert_frame_equal(known, whole)


def test_observed_spots_of_a_table_that_lacks_genes(tissue, model) -> None:
    sdata, seen = tissue["S1"], np.arange(tissue["S1"]["table"].n_obs) < 9
    part = filtered(sdata, list(model.genes))
    with pytest.raises(ValueError, match=LACK):
        stf.tl.predict(part, model, observed=seen, **QUIET)
    assert "stflow" not in part["table"].obsm
    stf.tl.predict(part, model, **QUIET)
    how = {"observed": seen, "overwrite": True, **QUIET}
    stf.tl.predict(part, model, total_key="all", **how)
    stf.tl.predict(sdata, model, **how)
    pd.testing.assert_frame_equal(part["table"].obsm["stflow"], sdata["table"].obsm["stflow"])


def test_genes_that_the_fit_did_not_know_are_not_in_totals(tissue, model) -> None:
    """A table with more genes than those of the fit: its totals are over these."""
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, **QUIET)
    table = sdata["table"]
    new = AnnData(table.X[:, :2], var=pd.DataFrame(index=["NEW1", "NEW2"]))
    new.obs_names = table.obs_names
    more = ad.concat([table, new], axis=1, merge="first")
    more.uns, more.obsm["stflow"] = table.uns, table.obsm["stflow"]
    assert (totals(more) > totals(table)).any()
    scores, wanted = stf.tl.evaluate(more), stf.tl.evaluate(table)
    pd.testing.assert_series_equal(scores["pearson"], wanted["pearson"])


def test_spots_that_measured_nothing_teach_nothing(tissue) -> None:
    """Whatever they hold, the model is the same; negative control: without a floor."""
    changed = deepcopy(tissue)
    empty = with_empty_spots(tissue["S1"])
    with_empty_spots(changed["S1"])
    counts = changed["S1"]["table"].X.toarray()
    counts[empty] = counts[empty][:, ::-1]
    changed["S1"]["table"].X = type(tissue["S1"]["table"].X)(counts)
    models = [stf.tl.fit(each, PANEL, **ALONE) for each in (tissue, changed)]
    assert same(*models)
    assert models[0].info["left_out"] == {"S1": 3, "S2": 0, "S3": 0}
    models = [stf.tl.fit(each, PANEL, min_counts=0, **ALONE) for each in (tissue, changed)]
    assert not same(*models)
    assert models[0].info["left_out"] == {"S1": 0, "S2": 0, "S3": 0}


def test_spots_that_measured_nothing_are_predicted_but_not_scored(tissue, model) -> None:
    empty = with_empty_spots(tissue["S1"])
    stf.tl.predict(tissue["S1"], model, **QUIET)
    assert np.isfinite(tissue["S1"]["table"].obsm["stflow"]).all(axis=None)
    scores = stf.tl.evaluate(tissue["S1"])
    assert scores.attrs["n_left_out"] == 3
    assert (scores["n_spots"] == 61).all()
    rest = stf.tl.evaluate(tissue["S1"]["table"][~empty].copy())
    pd.testing.assert_frame_equal(scores, rest)
    every = stf.tl.evaluate(tissue["S1"], min_counts=0)
    assert every.attrs["n_left_out"] == 0
    assert (every["n_spots"] == 64).all()
    assert every.attrs["rmse"] > scores.attrs["rmse"]


def test_the_model_keeps_its_floor(tissue, tmp_path) -> None:
    test = tissue.pop("S3")
    floor = float(np.quantile(totals(test["table"]), 0.1))
    stf.tl.fit(tissue, PANEL, min_counts=floor, **ALONE).save(tmp_path / "m")
    model = stf.STFlow.load(tmp_path / "m")
    assert model.info["min_counts"] == floor
    stf.tl.predict(test, model, **QUIET)
    lost = int((totals(test["table"]) < floor).sum())
    assert lost > 3
    test.write(tmp_path / "test.zarr")
    for each in (test, SpatialData.read(tmp_path / "test.zarr")):
        assert stf.tl.evaluate(each).attrs["n_left_out"] == lost
        assert stf.tl.evaluate(each, min_counts=0).attrs["n_left_out"] == 0


def test_observed_spots_that_measured_nothing_are_predicted(tissue, model) -> None:
    empty = with_empty_spots(tissue["S1"])
    table = tissue["S1"]["table"]
    seen = np.arange(table.n_obs) < 9
    message = r"3 of 9 `observed` spots of table 'table' hold too few counts to say anything"
    with pytest.warns(UserWarning, match=message):
        stf.tl.predict(tissue["S1"], model, observed=seen, **QUIET)
    np.testing.assert_array_equal(table.obs["stflow_observed"], seen & ~empty)
    assert (table.obsm["stflow_sd"][empty] > 0).all(axis=None)


def test_cross_validation_leaves_out_spots_that_measured_nothing(tissue) -> None:
    with_empty_spots(tissue["S1"])
    how = {**CV_FAST, "methods": ["kernel_ridge"]}
    table, every = (stf.tl.cross_validate(tissue, min_counts=floor, **how) for floor in (None, 0))
    assert table.attrs["n_left_out"] == {"S1": 3, "S2": 0, "S3": 0}
    assert table.groupby("fold")["n_spots"].first().to_dict() == {"S1": 61, "S2": 64, "S3": 64}
    assert every.attrs["n_left_out"] == {"S1": 0, "S2": 0, "S3": 0}
    assert (every["n_spots"] == 64).all()
    folds = [each[each["fold"] == "S2"].set_index("gene")["crps"] for each in (table, every)]
    assert not folds[0].equals(folds[1])


def test_tables_of_cross_validation_tell_units_and_structure(tissue) -> None:
    table = stf.tl.cross_validate(tissue, **CV_FAST, units="counts")
    assert table.attrs["units"] == "counts"
    assert stf.tl.cross_validate(tissue, **CV_FAST).attrs["units"] == "cp10k"
    rows = pd.DataFrame(table.attrs["structure"])
    assert list(rows) == ["fold", "method", "gene_structure", "spot_structure"]
    assert len(rows) == 6
    ridge = rows[rows["method"] == "ridge"]
    assert ((ridge["gene_structure"] > -1) & (ridge["spot_structure"] > 0)).all()
    for column in ("pearson_depth", "ceiling"):
        per_method = table.pivot(index=["fold", "gene"], columns="method", values=column)
        assert (per_method["ridge"] == per_method["mean"]).all()
    assert table.groupby("method")["partial"].count().to_dict() == {"mean": 0, "ridge": 15}


@pytest.fixture(scope="module")
def of_counts(others) -> stf.STFlow:
    return stf.tl.fit(others, PANEL, units="counts", **ALONE)


def test_predictions_say_their_units(tissue, model, of_counts, tmp_path) -> None:
    sdata = tissue["S1"]
    (slide,) = stf.get.slides(sdata)
    labels = {"cp10k": "log1p counts per 10,000", "counts": "log1p counts"}
    for each in (model, of_counts):
        assert f" prior, in {labels[each.units]}\n" in repr(each)
        assert each.predict(slide, n_samples=1, n_steps=1).units == each.units
        each.save(tmp_path / each.units)
        assert stf.STFlow.load(tmp_path / each.units).units == each.units
        stf.tl.predict(sdata, each, key_added=each.units, **QUIET)
        assert sdata["table"].uns[each.units]["units"] == each.units
        assert stf.get.predicted(sdata, each.units).uns[each.units]["units"] == each.units
        assert stf.tl.evaluate(sdata, each.units).attrs["units"] == each.units
        axes = stf.pl.gene_maps(sdata, PANEL[2], each.units, show=False)
        assert axes[1].child_axes[0].get_ylabel() == labels[each.units]
    high = [sdata["table"].obsm[units][PANEL[2]].mean() for units in ("cp10k", "counts")]
    assert high[0] > high[1] + 2


def test_scores_are_in_the_units_of_the_prediction(tissue, model, of_counts) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, **QUIET)
    for verb in (stf.tl.evaluate, stf.tl.evaluate_slides, stf.pl.calibration):
        with pytest.raises(ValueError, match=r"in units 'cp10k', not 'counts'. Leave out `units=`"):
            verb(sdata, units="counts")
        with pytest.raises(ValueError, match=r"`units` is 'tpm'; available: 'cp10k', 'counts'"):
            verb(sdata, units="tpm")
    with pytest.raises(ValueError, match=r"in units 'cp10k', not 'counts'"):
        stf.pl.gene_maps(sdata, model.genes[0], units="counts")
    stf.tl.predict(tissue["S2"], of_counts, **QUIET)
    both = {name: tissue[name] for name in ("S1", "S2")}
    common = [gene for gene in PANEL if gene in model.genes]
    with pytest.raises(ValueError, match=r"in different units \(S1: cp10k, S2: counts\)"):
        stf.tl.evaluate(both, genes=common)


def test_units_of_a_prediction_byothers_must_be_told(tissue) -> None:
    table = tissue["S1"]["table"]
    table.obsm["mine"] = cp10k(table)[PANEL]
    message = r"Nothing tells in which units the prediction 'mine' .* with `units=`, one of 'cp10k'"
    for verb in (stf.tl.evaluate, stf.tl.evaluate_slides):
        with pytest.raises(ValueError, match=message):
            verb(table, "mine")
    with pytest.raises(ValueError, match=message):
        stf.pl.gene_maps(tissue["S1"], PANEL[0], "mine")
    right, wrong = (stf.tl.evaluate(table, "mine", units=units) for units in ("cp10k", "counts"))
    assert right.attrs["rmse"] < 1e-6 < 1 < wrong.attrs["rmse"]


def verbs(slides: dict[str, SpatialData], **how: Any) -> dict[str, Any]:
    """Calls that bring counts to units."""
    return {
        "select_genes": lambda: stf.pp.select_genes(slides, 3, **how),
        "fit": lambda: stf.tl.fit(slides, PANEL, **ALONE, **how),
        "cross_validate": lambda: stf.tl.cross_validate(slides, genes=PANEL, **CV_FAST, **how),
    }


VERBS = ("select_genes", "fit", "cross_validate")
BAD_TOTALS = {
    "missing value": (np.nan, "1 are missing, negative or no numbers"),
    "negative": (-1.0, "1 are missing, negative or no numbers"),
    "infinite": (np.inf, "must hold the total counts of each spot"),
    "text": ("many", "1 are missing, negative or no numbers"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_bad_units_and_floors(tissue, verb: str) -> None:
    for how, error, message in (
        ({"units": "tpm"}, ValueError, r"`units` is 'tpm'; available: 'cp10k', 'counts'"),
        ({"min_counts": -1}, ValueError, "`min_counts` must be 0 or a positive number, not -1"),
        ({"min_counts": np.nan}, ValueError, "`min_counts` must be 0 or a positive number"),
        ({"total_key": "all"}, KeyError, "'all'; available: 'region', 'spot_id'"),
    ):
        with pytest.raises(error, match=message):
            verbs(tissue, **how)[verb]()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("case", BAD_TOTALS)
def test_columns_that_hold_no_totals(tissue, verb: str, case: str) -> None:
    value, message = BAD_TOTALS[case]
    for sdata in tissue.values():
        sdata["table"].obs["all"] = totals(sdata["table"])
    column = tissue["S2"]["table"].obs["all"].astype(object)
    column.iloc[4] = value
    tissue["S2"]["table"].obs["all"] = column
    with pytest.raises(ValueError, match=rf"\.obs\['all'\] of .*S2.*{message}"):
        verbs(tissue, total_key="all")[verb]()


@pytest.mark.parametrize("verb", ["fit", "cross_validate"])
def test_totals_that_are_less_than_the_panel(tissue, verb: str) -> None:
    for sdata in tissue.values():
        sdata["table"].obs["all"] = totals(sdata["table"])
    table = tissue["S2"]["table"]
    inside = np.ravel(table[:, PANEL].X.sum(axis=1))
    table.obs["all"] = np.maximum(inside - (np.arange(64) == np.argmax(inside)), 0)
    message = r"'all'\] of .*S2.* is less than the counts of the panel at \d+ spots, .* no totals"
    with pytest.raises(ValueError, match=message):
        verbs(tissue, total_key="all")[verb]()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("units", ["cp10k", "counts"])
def test_tables_that_are_logged_already(tissue, verb: str, units: str) -> None:
    table = tissue["S2"]["table"]
    table.X = table.X.log1p()
    with pytest.raises(ValueError, match=r"S2.* so it looks normalised or logged already"):
        verbs(tissue, units=units)[verb]()


def test_a_gene_that_nobody_expresses(tissue) -> None:
    for sdata in tissue.values():
        sdata["table"].X = sdata["table"].X.multiply(np.arange(12) != 1).tocsr()
    test = tissue.pop("S3")
    assert PANEL[1] not in stf.pp.select_genes(tissue, 11)
    model = stf.tl.fit(tissue, PANEL, **ALONE)
    assert np.isnan(model.trust.loc[PANEL[1], "pearson"])
    stf.tl.predict(test, model, **QUIET)
    scores = stf.tl.evaluate(test)
    assert np.isnan(scores.loc[PANEL[1], ["pearson", "pearson_depth", "partial", "ceiling"]]).all()
    assert np.isfinite(scores.attrs["pearson"])


def test_one_spot_with_counts(tissue) -> None:
    table = tissue["S2"]["table"]
    table.X = table.X.multiply((np.arange(64) == 7)[:, None]).tocsr()
    with pytest.raises(ValueError, match=r"No spot of S1 has 1e\+06 counts; the most is \d+"):
        stf.tl.fit(tissue, PANEL, min_counts=1e6, **ALONE)
    assert np.isfinite(stf.tl.fit(tissue, PANEL, **ALONE).history["train_loss"]).all()
