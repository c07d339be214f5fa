from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from spatialdata import read_zarr
from support import cp10k

import stflow as stf

Run = Callable[..., Result]

FAST = ("--n-samples", 2, "--n-steps", 1, "--device", "cpu", "--quiet")


def test_writes_what_the_call_writes(disk: Path, run: Run, tissue, model: stf.STFlow):
    result = run("predict", "S1.zarr", "model", *FAST, "--seed", 3)
    stf.tl.predict(
        tissue["S1"], model, n_samples=2, n_steps=1, seed=3, device="cpu", show_progress_bar=False
    )
    found, wanted = read_zarr("S1.zarr")["table"], tissue["S1"]["table"]
    assert found.obsm["stflow"].equals(wanted.obsm["stflow"])
    assert np.array_equal(found.obsm["X_stflow"], wanted.obsm["X_stflow"])
    assert set(found.obsm) == set(wanted.obsm)
    assert np.array_equal(found.X.toarray(), wanted.X.toarray())
    assert result.output == ""


def test_output_leaves_the_store_as_it_was(disk: Path, run: Run):
    result = run("predict", "S1.zarr", "model", *FAST[:-1], "-o", "out/S1.zarr", "--key-added", "a")
    assert "a" not in read_zarr("S1.zarr")["table"].obsm
    assert "a" in read_zarr("out/S1.zarr")["table"].obsm
    assert result.stdout == ""
    assert "predict:" in result.stderr
    told = "out/S1.zarr: predicted 8 genes as 'a', in log1p counts per 10,000\n"
    assert result.stderr.endswith(told)


def test_totals_of_observed_spots(disk: Path, run: Run, tissue, model: stf.STFlow):
    table = tissue["S1"]["table"]
    table.obs["seen"] = np.arange(table.n_obs) < 9
    table.obs["all"] = np.ravel(table.X.sum(axis=1)) * 2.0
    tissue["S1"].write("told.zarr")
    run("predict", "told.zarr", "model", *FAST, "--observed", "seen", "--total-key", "all")
    found = read_zarr("told.zarr")["table"].obsm["stflow"]
    wanted = cp10k(table, table.obs["all"].to_numpy())[list(model.genes)]
    assert np.allclose(found[:9], wanted[:9])


def test_nothing_is_replaced_unless_asked(disk: Path, run: Run):
    run("predict", "S1.zarr", "model", *FAST)
    first = read_zarr("S1.zarr")["table"].obsm["stflow"]
    result = run("predict", "S1.zarr", "model", *FAST, "--seed", 1, code=1)
    assert "already holds 'stflow'" in result.stderr
    assert "`--key-added`, or `--overwrite`" in result.stderr
    assert read_zarr("S1.zarr")["table"].obsm["stflow"].equals(first)
    run("predict", "S1.zarr", "model", *FAST, "--seed", 1, "--overwrite")
    assert not read_zarr("S1.zarr")["table"].obsm["stflow"].equals(first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("S1.zarr", "S2.zarr"), r"S2.zarr/model.json is missing"),
        (("model", "model"), "model is no SpatialData store; it holds 'model.json'"),
        (("S1.zarr", "model", "-o", "S2.zarr"), "S2.zarr exists; stflow replaces no store."),
        (("S1.zarr", "model", "--table-key", "b"), "No table 'b'; available: 'table'."),
        (("S1.zarr", "model", "--embedding-key", "b"), "Run `stflow embed` first"),
        (
            ("S1.zarr", "model", "--observed", "nothing", "--quiet"),
            "`observed` 'nothing' is neither a column of obs",
        ),
        (("S1.zarr", "model", "--n-samples", 0), "`n_samples` must be a whole number"),
        (("S1.zarr", "model", "--device", "tpu", "--quiet"), "`device` is 'tpu'"),
    ],
)
def test_errors_are_one_line_and_change_nothing(
    disk: Path, run: Run, arguments: tuple[object, ...], message: str
):
    result = run("predict", *arguments, code=1)
    assert result.stderr.startswith("stflow: error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert "stflow" not in read_zarr("S1.zarr")["table"].obsm
    assert {each.name for each in disk.iterdir()} == {"S1.zarr", "S2.zarr", "S3.zarr", "model"}


def test_ctrl_c_changes_nothing(disk: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stf.STFlow, "predict", interrupted)
    result = run("predict", "S1.zarr", "model", *FAST, code=130)
    assert result.stderr == "stflow: interrupted\n"
    assert "stflow" not in read_zarr("S1.zarr")["table"].obsm
