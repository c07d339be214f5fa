from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import Result
from lightning.pytorch import Callback

import stflow as stf

Run = Callable[..., Result]

SHAPE = ("--config", "hidden=32", "--config", "n_layers=2", "--config", "n_flows=1")
FAST = (*SHAPE, "--max-epochs", 2, "--device", "cpu")


def test_a_model_of_the_most_variable_genes(disk: Path, run: Run, tissue):
    result = run("fit", "S1.zarr", "S2.zarr/", "-o", "deep/new", "--n-top-genes", 5, *FAST)
    model = stf.STFlow.load("deep/new")
    training = {name: tissue[name] for name in ("S1", "S2")}
    assert list(model.genes) == stf.pp.select_genes(training, n_top_genes=5)
    assert model.info["training"] == ["S1"]
    assert model.info["validation"] == ["S2"]
    assert model.config.hidden == 32
    assert result.stdout == ""
    assert "fit, flow 1 of 1" in result.stderr
    assert "deep/new: STFlow: 5 genes" in result.stderr


def test_units_reach_genes_and_model(disk: Path, run: Run, tissue):
    training = {name: tissue[name] for name in ("S1", "S2")}
    how = {"units": "counts", "min_counts": 30.0}
    typed = ("--units", "counts", "--min-counts", 30)
    result = run("fit", "S1.zarr", "S2.zarr", "-o", "new", "--n-top-genes", 5, *typed, *FAST)
    model = stf.STFlow.load("new")
    assert list(model.genes) == stf.pp.select_genes(training, n_top_genes=5, **how)
    assert (model.units, model.info["min_counts"]) == ("counts", 30.0)
    assert "zinb prior, in log1p counts\n" in result.stderr
    assert "genes predicted on unseen spots at a false discovery rate of 5%" in result.stderr


def test_patients_of_a_file_or_a_column(disk: Path, run: Run):
    Path("who.csv").write_text("slide,patient\nS1,anna\nS2,otto\nS3,anna\nS4,emil\n")
    stores = ("S1.zarr", "S2.zarr", "S3.zarr", "--n-top-genes", 5)
    result = run("fit", *stores, "-o", "new", "--groups", "who.csv", *FAST)
    model = stf.STFlow.load("new")
    assert model.info["patients"] == {"S1": "anna", "S2": "otto", "S3": "anna"}
    assert model.info["validation"] == ["S2"]
    assert "validated on new patients (2 known)" in result.stderr
    result = run("fit", *stores, "-o", "more", "--groups", "region", *FAST)
    assert "warning: All slides are of patient 'spots'" in result.stderr


def test_a_model_of_named_genes(disk: Path, run: Run, model: stf.STFlow):
    genes = [model.genes[3], model.genes[1]]
    Path("genes.txt").write_text("\n".join([genes[0], "", f"  {genes[1]} ", ""]))
    result = run(
        "fit", "S1.zarr", "-o", "model", "--genes", "genes.txt", *FAST, "--overwrite", "--quiet"
    )
    assert list(stf.STFlow.load("model").genes) == genes
    assert result.output == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("S1.zarr", "-o", "model"), "model exists. Pass `--overwrite` to replace a model"),
        (("S1.zarr", "-o", "S2.zarr", "--overwrite"), "S2.zarr exists."),
        (("S1.zarr", "-o", "new", "--genes", "empty.txt"), "empty.txt holds no gene names"),
        (("S1.zarr", "-o", "new", "--genes", "binary.txt"), "binary.txt is no text file"),
        (("S1.zarr", "-o", "new", "--n-top-genes", 99), "99"),
        (("S1.zarr", "-o", "new", "--n-top-genes", 5, "--validation", "S9"), "'S9'"),
        (
            ("S1.zarr", "-o", "new", "--n-top-genes", 5, "--lr", -1),
            "`lr` must be a positive number",
        ),
        (
            ("S1.zarr", "-o", "new", "--n-top-genes", 5, "--config", "hiden=3"),
            "holds 'hiden'; it may hold 'n_layers'",
        ),
        (
            ("S1.zarr", "-o", "new", "--n-top-genes", 5, "--config", "prior=beta"),
            "`prior` is 'beta'; available:",
        ),
        (
            ("S1.zarr", "-o", "new", "--units", "tpm"),
            "`units` is 'tpm'; available: 'cp10k', 'counts'",
        ),
        (("S1.zarr", "-o", "new", "--total-key", "all"), "'all'; available: 'region', 'spot_id'"),
        (("S1.zarr", "-o", "new", "--min-counts", -1), "`min_counts` must be 0 or a positive"),
        (("S1.zarr", "-o", "new", "--groups", "who.csv"), "who.csv names no patient for 'S1'"),
        (("S1.zarr", "-o", "new", "--groups", "gone.csv"), "gone.csv"),
        (
            ("S1.zarr", "-o", "new", "--n-top-genes", 5, "--groups", "donor"),
            "No column of .obs in S1: 'donor'; available: 'region', 'spot_id'. Or pass `--groups`",
        ),
        (("S1.zarr", "model", "-o", "new"), "model is no SpatialData store"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    disk: Path, run: Run, arguments: tuple[object, ...], message: str
):
    Path("empty.txt").write_text("\n \n")
    Path("who.csv").write_text("slide,patient\nS2,anna\n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    before = Path("model/model.json").read_bytes()
    result = run("fit", *arguments, code=1)
    assert result.stderr.startswith("stflow: error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not Path("new").exists()
    assert Path("model/model.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'STORES...'"),
        (("S1.zarr",), "Missing option '-o' / '--output'"),
        (("S9.zarr", "-o", "new"), "'S9.zarr' does not exist"),
        (("S1.zarr", "S2.zarr/../S1.zarr", "-o", "new"), "S1.zarr is given twice"),
        (
            ("S1.zarr", "-o", "new", "--genes", "model/model.json", "--n-top-genes", 50),
            "--genes and --n-top-genes exclude each other",
        ),
        (("S1.zarr", "-o", "new", "--config", "hidden"), "'hidden' is no NAME=VALUE"),
    ],
)
def test_wrong_calls(disk: Path, run: Run, arguments: tuple[object, ...], message: str):
    assert message in run("fit", *arguments, code=2).stderr


class CtrlC(Callback):
    """Interrupt in the second epoch."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_best_model_and_says_so(
    disk: Path, run: Run, monkeypatch: pytest.MonkeyPatch
):
    interrupted = partial(stf.tl.fit, trainer_kwargs={"callbacks": [CtrlC()]})
    monkeypatch.setattr(stf.tl, "fit", interrupted)
    result = run("fit", "S1.zarr", "S2.zarr", "-o", "new", "--n-top-genes", 5, *FAST, code=130)
    assert "stflow: warning: Training was interrupted after 1 whole epochs" in result.stderr
    assert "Pass `--resume` to be able to resume" in result.stderr
    assert len(stf.STFlow.load("new").history) == 1
