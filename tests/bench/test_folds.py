"""From a task to slides: what a target asks for is done in training and test alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toys import SIDE, Reds, make_source, reds

from stflow._sdata.expression import Counting
from stflow._splits import Split
from stflow.bench._folds import Panel, Reader
from stflow.bench._results import Results
from stflow.bench._run import run
from stflow.bench._target import Target, smooth
from stflow.bench._task import Task

HOW = {"encoders": {"reds": reds}, "show_progress_bar": False, "device": "cpu"}
COUNTING = Counting("cp10k")
PLACES = np.argwhere(np.ones((SIDE, SIDE)))
TARGET = Target(3, 5, smoothed=True)


@pytest.fixture
def aimed(task: Task) -> Task:
    """The toy task on arrays, with labels smoothed and patients known."""
    for source in task.sources.values():
        source.counts.obs[["array_row", "array_col"]] = PLACES
        source.counts.X *= 10
        source.counts.X[:, 5] = 0
    return replace(task, target=TARGET, groups={"a": "p", "b": "p", "c": "q"})


def reader(task: Task, tmp_path, genes=None) -> Reader:
    return Reader(task, Panel(genes, 50), 4, Results(tmp_path))


def test_labels_are_means_over_places_for_training_and_test(aimed: Task, tmp_path):
    plain = reader(replace(aimed, target=replace(TARGET, smoothed=False)), tmp_path)
    smoothed = reader(aimed, tmp_path)
    how = {"counting": COUNTING, "auxiliary": ("g3",), "tiles": False}
    for name in "abc":
        (raw,), (mean,) = (
            each.slides([name], ("g0", "g1"), None, **how) for each in (plain, smoothed)
        )
        everywhere = np.ones(raw.n_spots, dtype=bool)
        for label in ("expression", "auxiliary"):
            expected = smooth(getattr(raw, label), PLACES, everywhere)
            np.testing.assert_allclose(getattr(mean, label), expected, rtol=1e-5)
            assert np.abs(getattr(mean, label) - getattr(raw, label)).max() > 0.1
        np.testing.assert_array_equal(mean.totals, raw.totals)
        assert mean.patient == raw.patient == aimed.groups[name]


def test_a_spot_that_measured_too_little_is_in_no_mean(aimed: Task, tmp_path):
    counts = aimed.sources["a"].counts
    counts.X[7] = 0
    counts.X[7, 1] = 1
    read = {"counting": COUNTING, "tiles": False}
    (raw,) = reader(replace(aimed, target=None), tmp_path).slides(["a"], ("g1",), None, **read)
    (mean,) = reader(aimed, tmp_path).slides(["a"], ("g1",), None, **read)
    assert raw.expression[7, 0] == pytest.approx(np.log1p(10_000))
    assert mean.expression.max() < np.log1p(5000)


def test_genes_are_chosen_on_training_slides_by_mean_then_variance(aimed: Task, tmp_path):
    split = aimed.splits[0]
    chosen = reader(aimed, tmp_path).genes(split, "nested", COUNTING)
    assert set(chosen) <= {f"g{i}" for i in range(5)}
    assert reader(aimed, tmp_path).genes(split, "hest", COUNTING) == chosen
    aimed.sources[split.test[0]].counts.X[:, 1:] = 5000 * np.eye(SIDE**2)[:, :5]
    assert reader(aimed, tmp_path).genes(split, "nested", COUNTING) == chosen
    aimed.sources[split.train[0]].counts.X[:, 1] = [0, 9000] * (SIDE**2 // 2)
    assert reader(aimed, tmp_path).genes(split, "nested", COUNTING) != chosen
    own = reader(aimed, tmp_path, ("g4",)).genes(split, "nested", COUNTING)
    assert own == ("g4",)


def test_smoothing_needs_an_array(aimed: Task, tmp_path):
    del aimed.sources["b"].counts.obs["array_col"]
    with pytest.raises(KeyError, match=r"No column of \.obs of slide 'b': 'array_col'"):
        reader(aimed, tmp_path).slides(["b"], ("g0",), None, counting=COUNTING, tiles=False)


def test_a_run_of_tasks_with_a_target(aimed: Task, tmp_path, methods):
    measured = replace(aimed, name="measured", target=replace(TARGET, smoothed=False))
    frame = run([aimed, measured], tmp_path, methods=["reds"], **HOW)
    assert set(frame["units"]) == {"cp10k"}
    assert set(frame["protocol"]) == {"hest", "nested"}
    assert (frame["n_genes"] == 3).all()
    assert (frame["error"] == "").all()
    assert frame.groupby("task")["ceiling"].count().to_dict() == {"measured": 6, "toy": 0}
    assert frame["partial"].notna().all()
    again = run([aimed, measured], tmp_path, methods=["reds"], **HOW)
    pd.testing.assert_frame_equal(again, frame)
    assert Reds.n_fits == len(frame)
    other = replace(aimed, target=replace(TARGET, n_genes=2))
    with pytest.raises(ValueError, match="of another benchmark: 'tasks toy' differ"):
        run([other], tmp_path, methods=["reds"], **HOW)
    with pytest.raises(ValueError, match="none that is scored in these `units`"):
        run([aimed], tmp_path / "new", methods=["reds"], units=["counts"], **HOW)


def test_tasks_that_share_slides_share_their_embeddings(aimed: Task, tmp_path, methods):
    made: list[int] = []

    def counted(tiles):
        made.append(len(tiles))
        return reds(tiles)

    how = {**HOW, "encoders": {"counted": counted}, "methods": ["reds"]}
    shared = [replace(aimed, name=name, images="album") for name in ("one", "two")]
    run(shared[:1], tmp_path / "one", **how)
    once = sum(made)
    run(shared, tmp_path / "both", **how)
    assert sum(made) == 2 * once
    run([replace(each, images="") for each in shared], tmp_path / "apart", **how)
    assert sum(made) > 3 * once


def test_groups_are_of_slides_that_are_there():
    sources = {"a": make_source(0), "b": make_source(1)}
    split = Split("0", ("a",), ("b",))
    with pytest.raises(KeyError, match="No slide of task 't' 'z'"):
        Task("t", sources, (split,), groups={"z": "p"})
    assert "target" not in Task("t", sources, (split,)).describe()
