"""A cohort in this process: what fails, what is kept, who may work in a folder."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cohorts import HOW, litter
from filelock import FileLock
from spatialdata import SpatialData

import stflow as stf
from stflow._validation import warn
from stflow.cohort import _state, _work


def run(manifest: pd.DataFrame, path: Path, model: Any, **more: Any) -> pd.DataFrame:
    return stf.cohort.run(manifest, path, model=model, **{**HOW, **more})


def test_a_table_and_a_store_a_slide(files, tmp_path: Path, model_folder: Path, seen: list[str]):
    out = tmp_path / "out"
    table = run(files.assign(patient=["P1", "P1", ""]), out, model_folder)
    assert seen == list("abc")
    assert list(table["state"]) == ["done"] * 3
    assert list(table["spots"]) == [4] * 3
    assert list(table["novelty"]) == [0.25] * 3
    assert list(table["artifacts"]) == [0.05] * 3
    assert list(table["patient"]) == ["P1", "P1", ""]
    assert table["versions"].str.contains(f"stflow {stf.__version__}", regex=False).all()
    written = pd.read_csv(out / "cohort.csv", keep_default_na=False)
    assert list(written["slide"]) == list("abc")
    assert (out / "a.zarr").is_dir()
    assert litter(out) == []


def test_finished_slides_are_not_done_again(files, tmp_path: Path, model_folder: Path, seen):
    run(files[:2], tmp_path / "out", model_folder)
    table = run(files, tmp_path / "out", model_folder)
    assert seen == list("abc")
    assert list(table["attempts"]) == [1, 1, 1]
    table = run(files[2:], tmp_path / "out", model_folder)
    assert seen == list("abc")
    assert sorted(table["slide"]) == list("abc")


def test_a_store_without_its_state_is_finished(files, tmp_path: Path, model_folder: Path, seen):
    """A worker may be killed after the store has its name and before its state is written."""
    run(files, tmp_path / "out", model_folder)
    state = tmp_path / "out" / "state" / "a.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "state": "running"}))
    (tmp_path / "out" / "state" / "b.json").unlink()
    table = run(files, tmp_path / "out", model_folder)
    assert seen == list("abc")
    assert list(table["state"]) == ["done"] * 3


def test_a_lost_store_is_made_anew(files, tmp_path: Path, model_folder: Path, seen):
    run(files, tmp_path / "out", model_folder)
    (tmp_path / "out" / "a.zarr").rename(tmp_path / "elsewhere.zarr")
    assert list(run(files, tmp_path / "out", model_folder)["state"]) == ["done"] * 3
    assert seen == list("abca")


def test_the_others_go_on_when_one_is_corrupt(files, tmp_path: Path, model_folder: Path, seen):
    predict = _work.predict_slide

    def corrupt(row: Any, plan: Any, stage: Any, **more: Any) -> SpatialData:
        if row.slide == "b":
            with stage("read"):
                raise ValueError("the file\nis damaged")
        return predict(row, plan, stage, **more)

    _work.predict_slide = corrupt  # the fixture puts it back
    with pytest.warns(UserWarning, match="1 of 3 slides failed: 'b: ValueError: the file is"):
        table = run(files, tmp_path / "out", model_folder)
    assert list(table["state"]) == ["done", "failed", "done"]
    assert (table["stage"][1], table["attempts"][1]) == ("read", 1)
    assert "\n" not in table["error"][1]
    _work.predict_slide = predict
    assert list(run(files, tmp_path / "out", model_folder)["error"]) == [""] * 3
    assert seen == list("acb")


@pytest.mark.parametrize(("retries", "states"), [(1, "done"), (0, "failed")])
def test_what_may_pass_is_tried_again(
    files, tmp_path: Path, model_folder: Path, seen, monkeypatch, retries: int, states: str
):
    """The disk is full while the first store is half written."""
    write, full = SpatialData.write, [True]

    def fills(self: SpatialData, place: Path, **how: Any) -> None:
        write(self, place, **how)
        if full:
            full.pop()
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SpatialData, "write", fills)
    out = tmp_path / "out"
    if retries:
        table = run(files, out, model_folder, retries=retries)
    else:
        with pytest.warns(UserWarning, match="No space left on device"):
            table = run(files, out, model_folder, retries=retries)
        assert not (out / "a.zarr").exists()
    assert list(table["state"]) == [states, "done", "done"]
    assert litter(out) == []
    assert list(run(files, out, model_folder)["state"]) == ["done"] * 3


def test_a_disk_with_no_room_for_states_either(
    files, tmp_path: Path, model_folder: Path, seen, monkeypatch
):
    def fails(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_state, "write_bytes", fails)
        with pytest.warns(UserWarning, match="3 of 3 slides failed"):
            table = run(files, tmp_path / "out", model_folder, retries=1)
    assert table["error"].str.contains("No space left").all()
    assert list(run(files, tmp_path / "out", model_folder)["state"]) == ["done"] * 3


def test_an_interrupt_leaves_what_is_finished(files, tmp_path, model_folder, seen, monkeypatch):
    predict = _work.predict_slide

    def interrupted(row: Any, *rest: Any, **more: Any) -> SpatialData:
        if row.slide == "b":
            raise KeyboardInterrupt
        return predict(row, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(_work, "predict_slide", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(files, tmp_path / "out", model_folder)
    written = pd.read_csv(tmp_path / "out" / "cohort.csv")
    assert list(written["state"]) == ["done", "queued", "queued"]
    assert list(run(files, tmp_path / "out", model_folder)["state"]) == ["done"] * 3
    assert seen == list("abc")


def test_warnings_are_kept_with_their_slide(files, tmp_path, model_folder, seen, monkeypatch):
    predict = _work.predict_slide

    def warns(row: Any, *rest: Any, **more: Any) -> SpatialData:
        warn(f"{row.slide} looks odd")
        warn(f"{row.slide} looks odd")
        return predict(row, *rest, **more)

    monkeypatch.setattr(_work, "predict_slide", warns)
    table = run(files, tmp_path / "out", model_folder)
    assert list(table["warnings"]) == [f"{slide} looks odd" for slide in "abc"]


def test_the_tasks_of_an_array_are_one_run(files, tmp_path: Path, model_folder: Path, seen):
    out = tmp_path / "out"
    table = run(files, out, model_folder, task=1, tasks=2)
    assert seen == ["b"]
    assert list(table["state"]) == ["queued", "done", "queued"]
    with FileLock(out / ".locks" / "task-1-of-2.lock"):
        assert list(run(files, out, model_folder, task=0, tasks=2)["state"]) == ["done"] * 3
        for share in ({"task": 1, "tasks": 2}, {"task": 0, "tasks": 3}, {}):
            with pytest.raises(RuntimeError, match=r"Another run works in .* \(task 1 of 2\)"):
                run(files, out, model_folder, **share)
    assert seen == list("bac")


def test_a_model_without_a_folder_is_kept(files, tmp_path: Path, model, seen):
    run(files[:1], tmp_path / "out", model)
    assert stf.STFlow.load(tmp_path / "out" / "model").genes == model.genes
    run(files, tmp_path / "out", model)
    assert seen == list("abc")


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"task": 2, "tasks": 2}, ValueError, "of 2 tasks it must be from 0 to 1"),
        ({"tasks": 0}, ValueError, "`tasks` must be a whole number"),
        ({"retries": -1}, ValueError, "`retries` must be a whole number from 0"),
        ({"n_samples": 0}, ValueError, "`n_samples` must be"),
        ({"seed": -1}, ValueError, "`seed` must be"),
        ({"device": "tpu"}, ValueError, "`device` is 'tpu'"),
        ({"pitch_um": -1.0}, ValueError, "`pitch_um` must be"),
        ({"encoder": None}, ValueError, "reads embeddings of 'support.colours'.*cannot be had"),
        ({"encoder": "efficientnet_lite0"}, ValueError, "reads another encoder"),
        ({"model": 3}, TypeError, "`model` is a int"),
        ({"model": "nowhere"}, FileNotFoundError, "No model folder at"),
        ({"client": "tcp://x"}, TypeError, "`client` is a str, not a `dask.distributed.Client`"),
    ],
)
def test_arguments_are_checked_before_work(
    files, tmp_path: Path, model_folder: Path, seen, more: dict, kind: type, message: str
):
    with pytest.raises(kind, match=message):
        run(files, tmp_path / "out", **{"model": model_folder, **more})
    assert not (tmp_path / "out").exists()
    assert seen == []


def test_missing_files_are_all_named(files, tmp_path: Path, model_folder: Path, seen):
    for name in ("scan0.svs", "scan2.svs"):
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 3 slides.*'a: There.*scan0.*'c: .*scan2"):
        run(files, tmp_path / "out", model_folder)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_run(files, tmp_path: Path, model_folder: Path, seen):
    run(files, tmp_path / "out", model_folder)
    with pytest.raises(ValueError, match="of another cohort: seed is 1, there 0"):
        run(files, tmp_path / "out", model_folder, seed=1)
    with pytest.raises(ValueError, match=r"'a' is finished in .* another way: image_mpp is 0\.5"):
        run(files.assign(image_mpp=0.5), tmp_path / "out", model_folder)
    (tmp_path / "full" / "x").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="holds no cohort, but 'x'"):
        run(files, tmp_path / "full", model_folder)
    foreign = tmp_path / "out" / "d.zarr"
    foreign.mkdir()
    more = pd.DataFrame({"slide": ["d"], "path": [str(tmp_path / "scan0.svs")]})
    with pytest.raises(FileExistsError, match=r"d\.zarr is there, and no run over a cohort"):
        run(more, tmp_path / "out", model_folder)
