"""Published numbers: known ones, and averages that follow from their tasks."""

from __future__ import annotations

import pytest

from stflow.bench.readers._stimage import ORGANS
from stflow.bench.tables._labels import AVERAGES, FOLDS
from stflow.bench.tables._published import published

NINE, TEN = AVERAGES
# What the preprint prints is not what its tasks average, and `source` says so.
MISPRINTED = {
    ("1", "random_forest", "ciga"),
    ("1", "random_forest", "uni"),
    ("1", "flow", "uni"),
    ("2", "flow", "uni"),
    ("3", "flow", "uni"),
    ("4", "flow", "uni"),
    ("4", "flow_no_fm", "uni"),
}


@pytest.mark.parametrize(
    ("table", "method", "encoder", "task", "mean", "sd"),
    [
        ("1", "random_forest", "ciga", "IDC", 0.423, 0.002),
        ("1", "flow", "uni", "IDC", 0.589, 0.063),
        ("1", "histogene", "", "READ", -0.006, 0.013),
        ("1", "triplex", "ciga", "LYMPH_IDC", 0.286, 0.055),
        ("2", "flow_gaussian", "ciga", "HCC", 0.042, 0.027),
        ("3", "flow_e2cnn", "uni", "CCRCC", 0.302, 0.140),
        ("4", "flow_no_fa", "gigapath", "COAD", 0.328, 0.005),
    ],
)
def test_known_numbers(table, method, encoder, task, mean, sd):
    frame = published(table).set_index(["method", "encoder", "task"])
    assert frame.index.is_unique
    row = frame.loc[(method, encoder, task)]
    assert (row["mean"], row["sd"]) == (mean, sd)
    assert row["source"].startswith(f"preprint, table {table}")


def test_seconds_and_leaderboard():
    seconds = published("5").set_index(["method", "encoder", "task"])["mean"]
    assert len(seconds) == 9 * len(FOLDS)
    assert seconds["flow", "", "PRAD"] == 1.50
    assert seconds["embed", "gigapath", "PRAD"] == 867.29
    public = published("leaderboard").set_index(["method", "encoder", "task"])["mean"]
    assert public["ridge", "h_optimus_1", "SKCM"] == 0.659
    assert ("ridge", "uni", "HCC") not in public.index


def test_stimage_has_a_number_for_each_organ():
    found = published("stimage").set_index("task")["mean"]
    assert list(found.index) == list(ORGANS)
    assert found["Brain"] == 0.357


@pytest.mark.parametrize(
    ("table", "average"), [*((number, TEN) for number in "1234"), ("leaderboard", NINE)]
)
def test_averages_follow_from_their_tasks(table: str, average: str):
    for (method, encoder), part in published(table).groupby(["method", "encoder"]):
        means = part.set_index("task")["mean"]
        if not {average, *AVERAGES[average]} <= set(means.dropna().index):
            continue
        own = means[AVERAGES[average]].mean()
        source = part.set_index("task")["source"][average]
        agrees = abs(own - means[average]) < 0.00101
        assert agrees == ((table, method, encoder) not in MISPRINTED)
        assert agrees or f"average {own:.3f}" in source


def test_versions_that_differ_are_told_apart():
    here = published("1").query("method == 'flow' and encoder == 'uni'").set_index("task")
    later = published("leaderboard").query("method == 'flow'").set_index("task")["mean"]
    for task in FOLDS:
        differs = here["mean"][task] != later[task]
        assert differs == (f"{later[task]:.3f} in the ICML" in here["source"][task])
    assert here["source"].str.contains("ICML").sum() == 9


def test_what_ran_out_of_memory_has_no_number():
    frame = published("1").query("encoder == 'gigapath_slide'").set_index("task")
    assert set(frame.index[frame["mean"].isna()]) == {"IDC", "COAD"}
    assert frame["source"]["IDC"].endswith("out of memory")


def test_unknown_table():
    with pytest.raises(ValueError, match="`table` is '6'; available: '1', '2'"):
        published("6")
