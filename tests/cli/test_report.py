from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import stflow as stf

Run = Callable[..., Result]


def test_a_page_is_written(disk: Path, run: Run):
    result = run("report", "S1.zarr", "S1.html", "--title", "Slide one")
    assert result.stderr.splitlines()[-1] == "wrote S1.html"
    assert "<title>Slide one</title>" in Path("S1.html").read_text()
    result = run("report", "S1.zarr", "S1.html", code=1)
    assert "S1.html exists. Pass `--overwrite` to replace it." in result.stderr
    run("report", "S1.zarr", "S1.html", "--overwrite")
    Path("genes.txt").write_text("GENE001\n")
    result = run("report", "S1.zarr", "b.html", "--genes", "genes.txt", code=1)
    assert "nothing is predicted" in result.stderr


def test_a_page_needs_a_name(disk: Path, run: Run):
    assert "Name the page to write" in run("report", "S1.zarr", code=2).stderr


def test_a_cohort_gets_its_pages(disk: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    folder = disk / "out"
    folder.mkdir()
    (folder / "run.json").write_text('{"kind": "cohort", "model": "x"}')
    result = run("report", folder, "--title", "All")
    assert "wrote" in result.stderr
    assert "<title>All</title>" in (folder / "index.html").read_text()
    assert "leave out the page" in run("report", folder, "a.html", code=2).stderr
    assert "leave out --image-key" in run("report", folder, "--image-key", "he", code=2).stderr
    assert stf.cohort.report(folder) == folder / "index.html"
