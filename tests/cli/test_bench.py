from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from toys import Reds, Shade, make_source, only

from stflow._cli import main
from stflow.bench import Split, Task

Run = Callable[..., Result]
ASKED = ("bench", "run", "--suite", "her2st", "-o", "out", "-m", "ridge,shade")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory, a suite of two slides, and vectors of them in ``vectors``."""
    monkeypatch.chdir(tmp_path)
    sources = {name: make_source(i) for i, name in enumerate("ab")}
    task = Task("toy", sources, (Split("a", ("b",), ("a",)), Split("b", ("a",), ("b",))))
    monkeypatch.setattr("stflow.bench.readers.read_suite", lambda *_, **__: [task])
    only(monkeypatch, {"ridge": Reds, "shade": Shade})
    Path("vectors").mkdir()
    for name, source in sources.items():
        np.save(f"vectors/{name}.npy", source.pixels.mean((1, 2)))
    return tmp_path


def test_run_and_table(toy: Path, run: Run):
    ran = run(*ASKED, "--embeddings", "mine=vectors", "--n-top-genes", 3, "--seeds", 2)
    means = pd.read_csv(StringIO(ran.stdout), keep_default_na=False)
    assert set(means["method"]) == {"ridge", "shade"}
    assert set(means["encoder"]) == {"mine", ""}
    assert (means["n_folds"] == 2).all()
    assert (means["of_folds"] == 2).all()
    assert len(pd.read_csv("out/results.csv")) == 2 * (1 + 2) * 2 * 2
    assert "next: stflow bench table out" in ran.stderr
    told = run("bench", "table", "out")
    assert told.stdout.count("|") > 30
    assert "stflow" in told.stdout
    for name in ("tables.md", "accuracy.csv", "accuracy.png", "run_time.csv"):
        assert Path("out/tables", name).stat().st_size > 0
    again = run("bench", "table", "out", "-o", "elsewhere", "-q")
    assert again.stdout == told.stdout
    assert again.stderr == ""
    assert Path("elsewhere/tables.md").read_text().strip() == told.stdout.strip()


def test_one_table_of_several_folders(toy: Path, run: Run):
    asked = ("bench", "run", "--suite", "her2st", "--embeddings", "mine=vectors")
    for folder, method in (("one", "ridge"), ("two", "shade")):
        run(*asked, "-o", folder, "-m", method, "--n-top-genes", 3)
    told = run("bench", "table", "one", "two").stdout
    assert "encoder + ridge" in told
    assert "shade" in told
    assert "shade" not in run("bench", "table", "one").stdout
    assert "occur twice" in run("bench", "table", "one", "one", code=1).output


def test_what_failed_ends_with_1_and_leaves_the_rest(toy: Path, run: Run):
    np.save("vectors/b.npy", np.load("vectors/b.npy")[:, :2])
    ran = run(*ASKED, "--embeddings", "mine=vectors", "--n-top-genes", 3, code=1)
    assert "6 of 12 results are missing" in ran.stderr
    frame = pd.read_csv("out/results.csv")
    assert frame["error"].isna().equals(frame["method"] == "shade")
    assert run("bench", "table", "out").stdout.count("failed") >= 2


def test_all_means_all_methods(toy: Path, run: Run):
    asked = ("bench", "run", "--suite", "her2st", "-o", "out", "--n-top-genes", 3)
    ran = run(*asked, "-m", "all", "--embeddings", "mine=vectors", "--protocols", "nested")
    assert set(pd.read_csv(StringIO(ran.stdout))["method"]) == {"ridge", "shade"}


def test_units_that_are_asked_for(toy: Path, run: Run):
    asked = (*ASKED, "--embeddings", "mine=vectors", "--n-top-genes", 3)
    means = pd.read_csv(StringIO(run(*asked, "--units", "counts").stdout))
    assert set(means["units"]) == {"counts"}
    assert means[["pearson_depth", "partial", "ceiling"]].notna().all(axis=None)
    means = pd.read_csv(StringIO(run(*asked, "--units", "cp10k,counts").stdout))
    assert list(dict.fromkeys(means["units"])) == ["cp10k", "counts"]
    assert len(pd.read_csv("out/results.csv")) == 2 * (1 + 2) * 2


def test_genes_from_a_file(toy: Path, run: Run):
    Path("genes.txt").write_text("g0\n")
    run(*ASKED, "--embeddings", "mine=vectors", "--genes", "genes.txt")
    assert (pd.read_csv("out/results.csv")["n_genes"] == 1).all()


def test_the_size_of_tiles_reaches_the_suite(toy: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    from stflow.bench import readers

    read, given = readers.read_suite, {}
    monkeypatch.setattr(readers, "read_suite", lambda *a, **how: given.update(how) or read(*a))
    asked = (*ASKED, "--embeddings", "mine=vectors", "--n-top-genes", 3)
    run(*asked, "--mpp", 3.2, "--tile-px", 64)
    assert (given["mpp"], given["tile_px"]) == (3.2, 64)


def test_markers_that_are_not_measured(toy: Path, run: Run):
    result = run(*ASKED, "--embeddings", "mine=vectors", "--markers", code=1)
    assert "4 of 4 genes are not among the measured genes of" in result.stderr


@pytest.mark.parametrize(
    ("more", "code", "match"),
    [
        (("--embeddings", "vectors"), 2, "write NAME=PATH"),
        (("--embeddings", "mine=nowhere"), 1, "nowhere is no folder"),
        (("--markers", "--genes", "genes.txt"), 2, "either --markers or --genes"),
        (("--protocols", "leaky"), 1, "`protocols` is 'leaky'; available: 'hest', 'nested'"),
        (("--units", "tpm"), 1, "`units` is 'tpm'; available: 'cp10k', 'counts'"),
        (("-m", "magic"), 1, "`methods` is 'magic'; available: 'ridge', 'shade'"),
        (("--seeds", 0), 2, "Invalid value for '--seeds'"),
        (("--max-epochs", 0), 1, "`--max-epochs`|`max_epochs` must be"),
    ],
)
def test_bad_calls(toy: Path, run: Run, more: tuple, code: int, match: str):
    Path("genes.txt").write_text("g0\n")
    result = run(*ASKED, "--n-top-genes", 3, *more, code=code)
    assert any(part in result.output for part in match.split("|"))
    assert not Path("out").exists()


def test_a_folder_without_results(toy: Path, run: Run):
    result = run("bench", "table", "vectors", code=1)
    assert "vectors holds no benchmark. Run `stflow bench run --out vectors` first" in result.stderr


def test_every_option_says_what_it_is():
    for command in main.commands["bench"].commands.values():
        assert all(each.help for each in command.params if each.param_type_name == "option")
        assert len(command.get_short_help_str(100)) < 70
