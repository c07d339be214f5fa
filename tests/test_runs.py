"""A folder that belongs to one run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from stflow._runs import MARK, RunFolder, differences

RUN = {"lr": 0.1, "genes": [f"GENE{i}" for i in range(50)], "seed": np.int64(0)}


def folder(path: Path) -> RunFolder:
    return RunFolder(path, "fit", "resume")


def test_a_folder_is_the_run_that_was_noted(tmp_path) -> None:
    mine = folder(tmp_path / "runs" / "one")
    mine.require_room()
    mine.require_same(RUN)
    assert mine.read() == {}
    assert list(tmp_path.iterdir()) == []
    mine.note(RUN)
    mine.require_room()
    mine.require_same(RUN)
    assert mine.read() == {**RUN, "seed": 0}
    written = (mine.path / MARK).stat().st_mtime_ns
    mine.note(RUN)
    assert (mine.path / MARK).stat().st_mtime_ns == written


def test_another_run_is_refused(tmp_path) -> None:
    mine = folder(tmp_path)
    mine.note(RUN)
    other = {**RUN, "lr": 0.2, "genes": RUN["genes"][::-1]}
    message = r"another fit: lr is 0.2, there 0.1; genes differs\. Pass another folder as `resume=`"
    with pytest.raises(ValueError, match=message):
        mine.require_same(other)
    with pytest.raises(ValueError, match="another fit: seed is None, there 0"):
        mine.require_same({name: RUN[name] for name in ("lr", "genes")})


def test_what_is_no_number_is_told_by_its_words() -> None:
    assert differences({"a": 1}, {"a": 1}) == []
    assert differences({"a": 1}, {"b": 2}) == ["a is 1, there None", "b is None, there 2"]


def test_a_damaged_note_is_refused(tmp_path) -> None:
    (tmp_path / MARK).write_text("[")
    with pytest.raises(ValueError, match=r"run\.json is damaged .* delete this one"):
        folder(tmp_path).read()


def test_another_kind_of_run_is_refused(tmp_path) -> None:
    folder(tmp_path).note(RUN)
    folder(tmp_path).require_room()
    with pytest.raises(
        ValueError, match=r"holds a fit, no benchmark\. Pass another folder as `path="
    ):
        RunFolder(tmp_path, "benchmark", "path").require_room()


def test_what_is_in_the_way(tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(FileExistsError, match=r"file is a file\. Pass a folder as `resume=`"):
        folder(tmp_path / "file").require_room()
    with pytest.raises(NotADirectoryError, match=r"cannot be made: .*file is a file"):
        folder(tmp_path / "file" / "below").require_room()
    with pytest.raises(FileExistsError, match="holds no fit, but 'file'"):
        folder(tmp_path).require_room()
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "file").unlink()
    folder(tmp_path).require_room()


def test_a_read_only_place(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(PermissionError, match="is read-only"):
        folder(tmp_path / "new").require_room()
