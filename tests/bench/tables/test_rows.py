"""Tables in long form: known means, and nothing averaged that is not all there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bench.scored import scored
from hypothesis import given, settings
from hypothesis import strategies as st

from stflow.bench.tables._labels import AVERAGES, FOLDS
from stflow.bench.tables._markdown import to_markdown
from stflow.bench.tables._rows import compare, make_tables

NAN = float("nan")
NINE, TEN = AVERAGES


def row(table: pd.DataFrame, task: str, method: str = "ridge") -> pd.Series:
    """The only row of a method on a task."""
    found = table[(table["task"] == task) & (table["method"] == method)]
    assert len(found) == 1
    return found.iloc[0]


def hest(value: float = 0.5, *, without: str = "") -> dict[str, list[float]]:
    """Scores of all folds of HEST-bench, but of one task."""
    return {task: [value] * n for task, n in FOLDS.items() if task != without}


def test_seeds_are_averaged_before_folds():
    first = scored({"t": [0.1, 0.3, 0.5]}, seed=0)
    second = scored({"t": [0.3, 0.3, 0.9]}, seed=1)
    found = row(make_tables(pd.concat([first, second]))["accuracy"], "t")
    assert found["mean"] == pytest.approx(np.mean([0.2, 0.3, 0.7]))
    assert found["sd"] == pytest.approx(np.std([0.2, 0.3, 0.7], ddof=1))
    assert (found["n_folds"], found["of_folds"], found["n_failed"]) == (3, 3, 0)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)))
def test_order_of_rows_does_not_matter(order):
    frame = pd.concat([scored({"t": [0.1, 0.3, 0.4]}), scored({"t": [0.2] * 3}, method="stflow")])
    wanted, found = (make_tables(each)["accuracy"] for each in (frame, frame.iloc[order]))
    pd.testing.assert_frame_equal(found, wanted)


def test_a_fold_without_all_seeds_is_not_averaged():
    frame = pd.concat([scored({"t": [0.1, 0.3]}), scored({"t": [0.3]}, seed=1)])
    found = row(make_tables(frame)["accuracy"], "t")
    assert found["mean"] == pytest.approx(0.2)
    assert (found["n_folds"], found["of_folds"], found["n_failed"]) == (1, 2, 0)


def test_seeds_of_another_task_are_not_missed():
    more = [scored({"u": [0.2, 0.4]}, seed=seed) for seed in range(3)]
    table = make_tables(pd.concat([scored({"t": [0.1, 0.3]}), *more]))["accuracy"]
    assert row(table, "t")["n_folds"] == 2
    assert row(table, "u")["n_folds"] == 2


def test_missing_and_failed_folds_are_counted():
    whole = scored({"t": [0.1, 0.2, 0.3]}, method="stflow")
    frame = pd.concat([whole, scored({"t": [0.4, NAN]}), scored({"t": [NAN] * 3}, method="bleep")])
    table = make_tables(frame)["accuracy"]
    found = row(table, "t")
    assert (found["mean"], found["n_folds"], found["of_folds"]) == (0.4, 1, 3)
    assert found["n_failed"] == 1
    assert np.isnan(row(table, "t", "bleep")["mean"])
    assert row(table, "t", "bleep")["n_failed"] == 3
    assert row(table, "t", "stflow")["n_folds"] == 3


def test_both_averages_of_hest_bench():
    scores = hest() | {"HCC": [0.0, 0.0], "IDC": [0.1, 0.2, 0.3, 0.4]}
    table = make_tables(scored(scores))["accuracy"]
    assert row(table, NINE)["mean"] == pytest.approx((8 * 0.5 + 0.25) / 9)
    assert row(table, TEN)["mean"] == pytest.approx((8 * 0.5 + 0.25) / 10)
    assert list(table["task"]) == [*FOLDS, NINE, TEN]


def test_no_average_without_all_its_tasks():
    without_hcc = make_tables(scored(hest(without="HCC")))["accuracy"]
    assert set(without_hcc["task"]) == {*FOLDS, NINE} - {"HCC"}
    without_idc = make_tables(scored(hest(without="IDC")))["accuracy"]
    assert set(without_idc["task"]) == {*FOLDS} - {"IDC"}
    short = make_tables(scored(hest() | {"IDC": [0.5] * 3}))["accuracy"]
    assert not {NINE, TEN} & set(short["task"])
    assert row(short, "IDC")["of_folds"] == 4


def test_averages_of_other_suites():
    constructed = {"constructed": True}
    two = make_tables(scored({"a": [0.1], "b": [0.3]}, **constructed))["accuracy"]
    assert row(two, "average of 2 tasks")["mean"] == pytest.approx(0.2)
    assert row(two, "average of 2 tasks")["constructed"]
    one = make_tables(scored({"a": [0.1, 0.2]}, **constructed))["accuracy"]
    assert list(one["task"]) == ["a"]
    named = make_tables(scored({"IDC": [0.1], "HCC": [0.3]}, **constructed))["accuracy"]
    assert row(named, "average of 2 tasks")["mean"] == pytest.approx(0.2)
    assert row(named, "IDC")["of_folds"] == 1


def test_published_numbers_stand_beside():
    frame = pd.concat([scored(hest(), method="flow"), scored(hest())])
    table = make_tables(frame)["accuracy"]
    assert row(table, "IDC", "flow")["published_mean"] == 0.589
    assert row(table, "IDC", "flow")["published_sd"] == 0.063
    assert row(table, TEN, "flow")["published_mean"] == pytest.approx(0.4169)
    assert row(table, "IDC")["published_mean"] == 0.589
    assert row(table, NINE)["published_mean"] == pytest.approx(0.3873, abs=1e-4)
    assert np.isnan(row(table, TEN)["published_mean"])
    assert "0.587 in the ICML 2025 version" in row(table, "IDC", "flow")["published_source"]
    assert "leaderboard" in row(table, "IDC")["published_source"]


def test_published_numbers_of_constructed_splits_are_said_not_to_compare():
    table = make_tables(scored({"Skin": [0.5]}, method="flow", constructed=True))["accuracy"]
    assert row(table, "Skin", "flow")["published_mean"] == 0.310
    text = to_markdown(table)
    assert "| *.310* |" in text
    assert "not comparable" in text
    assert "for the genes of `hest`" not in text
    assert "not comparable" not in to_markdown(make_tables(scored(hest()))["accuracy"])


@pytest.mark.parametrize(
    "frame",
    [
        scored(hest(), method="flow", encoder="resnet50"),
        scored(hest(), method="ridge", encoder="resnet50"),
        scored(hest(), method="flow", constructed=True),
        scored(hest(), method="flow", own_panel=True),
        scored({"her2st": [0.5]}, method="flow"),
        scored({"Skin": [0.5]}, method="flow"),
        scored({"Skin": [0.5]}, method="flow", constructed=True, own_panel=True),
        scored({"Skin": [0.5]}, constructed=True),
    ],
)
def test_nothing_published_beside_what_is_not_comparable(frame: pd.DataFrame):
    assert make_tables(frame)["accuracy"]["published_mean"].isna().all()


def test_published_numbers_are_of_raw_counts():
    frame = scored(hest(), method="flow", units="cp10k", predict_s=1.0, fit_s=1.0)
    tables = make_tables(pd.concat([frame, frame.assign(units="counts")]))
    for name, column in (("accuracy", "published_mean"), ("run_time", "published_predict_s")):
        table = tables[name]
        assert table.loc[table["units"] == "cp10k", column].isna().all()
        assert table.loc[table["units"] == "counts", column].notna().any()
    assert list(dict.fromkeys(tables["accuracy"]["units"])) == ["cp10k", "counts"]
    assert {NINE, TEN} <= set(tables["accuracy"].query("units == 'cp10k'")["task"])


def test_units_are_never_averaged_together():
    frame = pd.concat([scored({"t": [0.2, 0.4]}, units="cp10k"), scored({"t": [0.6, 0.8]})])
    found = make_tables(frame)["accuracy"].set_index("units")["mean"]
    assert found.to_dict() == pytest.approx({"cp10k": 0.3, "counts": 0.7})


def test_results_without_units_are_of_counts():
    frame = pd.concat([scored({"t": [0.2]}), scored({"t": [0.3]}, method="stflow")])
    wanted = make_tables(frame)["accuracy"]
    for older in (frame.drop(columns="units"), frame.assign(units=NAN)):
        pd.testing.assert_frame_equal(make_tables(older)["accuracy"], wanted)
    assert set(wanted["units"]) == {"counts"}
    mixed = pd.concat([frame.drop(columns="units"), frame.assign(units="cp10k")])
    assert len(make_tables(mixed)["accuracy"]) == 4


def test_what_stands_beside_a_score_is_known_of_all_its_folds():
    known = {"pearson_depth": [0.1, 0.2], "partial": [0.3, 0.5], "ceiling": [0.8, NAN]}
    frame = scored({"t": [0.1, 0.3]}, n_left_out=[3, 4], **known)
    found = row(make_tables(frame)["accuracy"], "t")
    assert found["pearson_depth"] == pytest.approx(0.15)
    assert found["partial"] == pytest.approx(0.4)
    assert np.isnan(found["ceiling"])
    assert found["n_left_out"] == 7
    older = row(make_tables(scored({"t": [0.1]}))["accuracy"], "t")
    assert older[["pearson_depth", "partial", "ceiling", "n_left_out"]].isna().all()


def test_variants_have_tables_of_their_own():
    names = ["flow", "flow_zero", "flow_egnn", "ridge"]
    frame = pd.concat([scored({"t": [0.1]}, method=name) for name in names])
    tables = make_tables(frame)
    assert set(tables) == {"accuracy", "priors", "architectures", "run_time"}
    assert list(tables["priors"]["method"]) == ["flow", "flow_zero"]
    assert list(tables["architectures"]["method"]) == ["flow", "flow_egnn"]
    assert list(tables["accuracy"]["method"]) == ["ridge", "flow"]


def test_unknown_methods_come_last():
    names = ["zeta", "stflow", "alpha", "ridge"]
    frame = pd.concat([scored({"t": [0.1]}, method=name) for name in names])
    found = make_tables(frame)["accuracy"]["method"]
    assert list(found) == ["ridge", "stflow", "alpha", "zeta"]


def test_run_time():
    costs = {"embed_s": 1.0, "fit_s": 4.0, "embed_mib": 9.0, "fit_mib": 7.0, "device": "cpu"}
    frame = scored({"PRAD": [0.1, 0.2]}, method="flow", **costs)
    frame = frame.assign(predict_s=[0.5, 1.5])
    found = row(make_tables(frame)["run_time"], "PRAD", "flow")
    assert list(found[["embed_s", "fit_s", "predict_s", "peak_mib"]]) == [1.0, 4.0, 1.0, 9.0]
    assert (found["n_fits"], found["device"]) == (2, "cpu")
    assert (found["published_embed_s"], found["published_predict_s"]) == (237.87, 1.50)


def test_differences_are_paired():
    ours = scored({"a": [0.3, 0.5], "b": [0.2]}, method="stflow")
    frame = pd.concat([ours, scored({"a": [0.2, 0.6], "b": [NAN]})])
    (found,) = compare(frame).to_dict("records")
    assert found["difference"] == pytest.approx(0.0)
    assert found["sd"] == pytest.approx(np.std([-0.1, 0.1], ddof=1))
    assert (found["n_folds"], found["of_folds"], found["wins"]) == (2, 3, 1)


def test_differences_to_the_same_encoder_or_to_each():
    ours = [scored({"t": [0.3]}, method="stflow", encoder=name) for name in ("uni", "ciga")]
    theirs = [scored({"t": [0.2]}), scored({"t": [0.2]}, method="hist2st", encoder="")]
    found = compare(pd.concat([*ours, *theirs]))
    pairs = list(zip(found["method"], found["reference"], strict=True))
    assert pairs == [("ridge", "uni"), ("hist2st", "ciga"), ("hist2st", "uni")]
    assert compare(pd.concat(theirs)).empty
    assert compare(pd.concat([ours[0], theirs[0].assign(units="cp10k")])).empty
    other = scored({"t": [0.1]}, protocol="nested")
    assert set(compare(pd.concat([*ours, other])).get("method", [])) == set()


def test_bad_input():
    with pytest.raises(ValueError, match=r"no results\. Run `stflow bench run` first"):
        make_tables(pd.DataFrame())
    with pytest.raises(KeyError, match="No column 'pearson'; available: 'task'"):
        make_tables(scored({"t": [0.1]}).drop(columns="pearson"))
    frame = scored({"t": [0.1]})
    with pytest.raises(ValueError, match="Results that occur twice: 'hest counts ridge uni t 0'"):
        make_tables(pd.concat([frame, frame]))
    with pytest.raises(ValueError, match="occur twice"):
        compare(pd.concat([frame, frame]))
