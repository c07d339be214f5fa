"""The page on architecture: its drawing is what the imports say, and its files exist."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "stflow"
PAGE = ROOT / "docs" / "architecture.md"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "draw_house.py"))


def write_package(root: Path, **files: str) -> Path:
    """A package of folders, each with one file of that code."""
    for part, code in {"__init__": "", **files}.items():
        path = root / ("__init__.py" if part == "__init__" else f"{part}/__init__.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return root


def test_the_drawing_is_what_the_script_gives(script: dict[str, Any], tmp_path: Path):
    draw: Callable[[Path], str] = script["draw"]
    drawn = script["PICTURE"].read_text(encoding="utf-8")
    assert draw(SOURCE) == drawn, "run `python scripts/draw_house.py`"
    changed = shutil.copytree(SOURCE, tmp_path / "stflow", ignore=shutil.ignore_patterns("*.pyc"))
    (changed / "get" / "_new.py").write_text("from stflow.model import STFlow\n")
    assert draw(changed) != drawn


def test_imports_that_follow_from_others_are_not_drawn(script: dict[str, Any], tmp_path: Path):
    source = write_package(
        tmp_path,
        high="from stflow.middle import x\nfrom stflow.low import y",
        middle="def f():\n    import stflow.low",
        low="import numpy",
        apart="",
    )
    ground, rooms = script["read_house"](source)
    assert ground == []
    assert rooms == {"high": {"middle"}, "middle": {"low"}, "low": set(), "apart": set()}


def test_ground_is_files_and_is_stood_on_without_arrows(script: dict[str, Any], tmp_path: Path):
    source = write_package(tmp_path, part="from stflow._keys import TABLE")
    (source / "_keys.py").write_text("")
    assert script["read_house"](source) == (["_keys"], {"part": set()})
    assert "marker-end" not in script["draw"](source)
    (source / "part" / "_more.py").write_text("from stflow.other import x")
    write_package(source, other="")
    assert script["draw"](source).count("marker-end") == 1


def missing(page: str) -> list[str]:
    """Paths in code style, with a slash and without wildcards, that are not in the repository."""
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*)`", page))
    return sorted(name for name in named if not any((r / name).exists() for r in (ROOT, SOURCE)))


def test_every_file_that_the_page_names_exists():
    page = PAGE.read_text(encoding="utf-8")
    assert missing(page) == []
    assert len(re.findall(r"`[\w./]+\.py`", page)) > 20
    assert missing("see `tl/_fit.py` and `tl/_gone.py`") == ["tl/_gone.py"]
