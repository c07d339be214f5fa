from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from spatialdata import read_zarr

import stflow as stf

Run = Callable[..., Result]


@pytest.fixture
def predicted(disk: Path, tissue, model: stf.STFlow) -> Path:
    """The working directory, with S1 and S2 predicted."""
    for name in ("S1", "S2"):
        stf.tl.predict(
            tissue[name], model, n_samples=2, n_steps=1, device="cpu", show_progress_bar=False
        )
        tissue[name].write(disk / "predicted" / f"{name}.zarr")
    return disk


def test_scores_as_csv(predicted: Path, run: Run, model: stf.STFlow):
    stores = ("predicted/S1.zarr", "predicted/S2.zarr")
    result = run("evaluate", *stores)
    found = pd.read_csv(StringIO(result.stdout), index_col="gene")
    slides = {Path(path).stem: read_zarr(path) for path in stores}
    wanted = stf.tl.evaluate(slides)
    pd.testing.assert_frame_equal(found, wanted, check_exact=False, rtol=1e-12)
    mean = wanted.attrs["pearson"]
    told = f"mean over 8 genes of 2 slides, in log1p counts per 10,000: pearson {mean:.3f}, "
    depth = [wanted.attrs[name] for name in ("pearson_depth", "partial", "ceiling")]
    told += "of depth alone {:.3f}, given depth {:.3f}, ceiling {:.3f}, spearman".format(*depth)
    assert result.stderr.startswith(told)
    assert "left out" not in result.stderr

    Path("genes.txt").write_text(f"{model.genes[2]}\n")
    apart = run("evaluate", *stores, "--per-slide", "--genes", "genes.txt", "-q", "-o", "a/b.csv")
    table = pd.read_csv("a/b.csv", index_col=["slide", "gene"])
    assert list(table.index) == [("S1", model.genes[2]), ("S2", model.genes[2])]
    assert apart.output == ""


def test_spots_of_few_counts_and_units(predicted: Path, run: Run, tissue):
    totals = tissue["S1"]["table"].X.sum(axis=1).A1
    floor = float(sorted(totals)[6])
    result = run("evaluate", "predicted/S1.zarr", "--min-counts", floor)
    lost = int((totals < floor).sum())
    assert f"; {lost} spots of too few counts left out" in result.stderr
    assert set(pd.read_csv(StringIO(result.stdout))["n_spots"]) == {64 - lost}
    message = "is in units 'cp10k', not 'counts'. Leave out `--units`."
    assert message in run("evaluate", "predicted/S1.zarr", "--units", "counts", code=1).stderr
    message = "column of obs in table 'table' of slide 'S1': 'all'; available:"
    assert message in run("evaluate", "predicted/S1.zarr", "--total-key", "all", code=1).stderr


def test_a_file_is_replaced_only_when_asked(predicted: Path, run: Run):
    Path("scores.csv").write_text("mine")
    arguments = ("evaluate", "predicted/S1.zarr", "-o", "scores.csv")
    assert "scores.csv exists. Pass `--overwrite`" in run(*arguments, code=1).stderr
    assert Path("scores.csv").read_text() == "mine"
    run(*arguments, "--overwrite")
    assert Path("scores.csv").read_text().startswith("gene,pearson,")


def test_a_write_that_fails_leaves_the_file(
    predicted: Path, run: Run, monkeypatch: pytest.MonkeyPatch
):
    def full(descriptor: int) -> None:
        os.ftruncate(descriptor, 10)
        raise OSError(28, "No space left on device")

    Path("scores.csv").write_text("mine")
    monkeypatch.setattr(os, "fsync", full)
    result = run("evaluate", "predicted/S1.zarr", "-o", "scores.csv", "--overwrite", code=1)
    assert result.stderr == "stflow: error: [Errno 28] No space left on device\n"
    assert Path("scores.csv").read_bytes() == b"mine"
    assert not list(Path().glob(".scores*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("S1.zarr",), "Run `stflow predict` first, or name it with `--key`."),
        (("S1.zarr", "--key", "b"), "No prediction 'b'"),
        (("S1.zarr", "-o", "model"), "model is a folder"),
    ],
)
def test_errors_are_one_line(disk: Path, run: Run, arguments: tuple[str, ...], message: str):
    result = run("evaluate", *arguments, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("stflow: error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def test_one_store_twice_is_a_wrong_call(disk: Path, run: Run):
    result = run("evaluate", "S1.zarr", "./S1.zarr", code=2)
    assert "S1.zarr is given twice" in result.stderr


def test_stores_of_one_name(predicted: Path, run: Run):
    for folder in ("a", "b"):
        shutil.copytree("predicted/S1.zarr", Path(folder, "slide.zarr"))
    result = run("evaluate", "a/slide.zarr", "b/slide.zarr", "--per-slide")
    assert {line.split(",")[0] for line in result.stdout.splitlines()[1:]} == {"a/slide", "b/slide"}
