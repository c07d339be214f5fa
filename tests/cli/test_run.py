from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result

import stflow as stf
from stflow import cohort

Run = Callable[..., Result]
TABLE = {
    "slide": ["a", "b"],
    "state": ["done", "done"],
    "spots": [4, 5],
    "novelty": [0.0, 0.5],
    "artifacts": [0.0, 0.0],
    "seconds": [1.0, 2.0],
    "error": ["", ""],
}


@pytest.fixture
def calls(disk: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple, dict]]:
    found: list[tuple[tuple, dict]] = []

    def run(*args: Any, **how: Any) -> pd.DataFrame:
        found.append((args, how))
        return pd.DataFrame(TABLE)

    monkeypatch.setattr(cohort, "run", run)
    Path("m.csv").write_text("slide,path\nS1,S1.zarr\n")
    return found


def test_words_go_to_the_call(calls, run: Run):
    result = run("run", "m.csv", "-m", "model", "-o", "out", "--task", 1, "--tasks", 3, "-q")
    (arguments, how) = calls[0]
    assert arguments == (Path("m.csv"), Path("out"))
    assert (how["task"], how["tasks"], how["client"]) == (1, 3, None)
    assert (how["artifacts"], how["dry_run"], how["show_progress_bar"]) == (True, False, False)
    assert result.stdout.splitlines()[0] == ",".join(TABLE)


def test_it_ends_with_1_when_slides_failed(calls, run: Run, monkeypatch: pytest.MonkeyPatch):
    failed = pd.DataFrame({**TABLE, "state": ["done", "failed"], "error": ["", "ValueError: odd"]})
    monkeypatch.setattr(cohort, "run", lambda *_, **__: failed)
    assert "ValueError: odd" in run("run", "m.csv", "-m", "model", "-o", "out", code=1).stdout


def test_one_way_to_workers(calls, run: Run):
    how = ("--workers", 2, "--scheduler", "tcp://x:1")
    assert "Choose either" in run("run", "m.csv", "-m", "model", "-o", "out", *how, code=2).stderr


def test_errors_are_in_words_of_the_shell(disk: Path, run: Run):
    Path("m.csv").write_text("slide,path\nS1,S1.zarr\n")
    result = run("run", "m.csv", "-m", "model", "-o", "out", code=1)
    assert "reads embeddings of 'support.colours'" in result.stderr
    result = run("run", "m.csv", "-m", "model", "-o", "out", "--task", 4, code=1)
    assert "of 1 tasks it must be from 0 to 0" in result.stderr
    assert not Path("out").exists()


def test_a_dry_run_tells_what_it_would_take(disk: Path, run: Run, monkeypatch):
    frame = pd.DataFrame({"slide": ["a"], "spots": [5], "memory_gib": [1.0], "problem": [""]})
    frame.attrs = {"minutes": 2.0, "disk_gib": 0.5, "free_gib": 8.0}
    monkeypatch.setattr(cohort, "run", lambda *_, **__: frame)
    Path("m.csv").write_text("slide,path\nS1,S1.zarr\n")
    result = run("run", "m.csv", "-m", "model", "-o", "out", "--dry-run")
    assert "1 slides, 5 spots, 2.0 minutes on one worker, 1.0 GiB of memory" in result.stderr
    assert result.stdout.splitlines()[1] == "a,5,1.0,"


def test_info_tells_the_effort_of_one_slide(disk: Path, run: Run, monkeypatch):
    line = {"spots": 5, "minutes": 2.0, "memory_gib": 1.0, "disk_gib": 0.5, "problem": ""}
    monkeypatch.setattr(cohort, "run", lambda *_, **__: pd.DataFrame([line]))
    shown = run("info", "S1.zarr", "--model", "model").stdout.splitlines()
    assert shown[-1] == "to predict: 5 spots, 2.0 minutes, 1.0 GiB of memory, 0.500 GiB of disk"
    assert "to predict" not in run("info", "S1.zarr").stdout
    monkeypatch.setattr(cohort, "run", lambda *_, **__: pd.DataFrame([{**line, "problem": "odd"}]))
    assert "odd" in run("info", "S1.zarr", "--model", "model", code=1).stderr
    assert stf.cohort is cohort
