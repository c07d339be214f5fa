from __future__ import annotations

import os
from pathlib import Path

import pytest

from stflow._atomic import beside, exchange, sweep, write_bytes


def test_a_file_is_written_and_replaced_with_nothing_left_beside_it(tmp_path):
    file = tmp_path / "new" / "a.txt"
    for content in (b"one", b"two\r\n"):
        write_bytes(file, content)
        assert file.read_bytes() == content
    assert [each.name for each in file.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, call: str):
    file = tmp_path / "a.txt"
    write_bytes(file, b"old")

    def fail(*_) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_beside_is_hidden_and_goes(tmp_path):
    with beside(tmp_path / "store") as scratch:
        assert scratch.parent == tmp_path
        assert scratch.name.startswith(".store-")
    assert not scratch.exists()


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "a.txt").write_text(content)
    return path


def test_folders_change_places(tmp_path):
    new, old, place = folder(tmp_path / "new", "new"), tmp_path / "old", tmp_path / "place"
    exchange(place, new, old)
    assert (place / "a.txt").read_text() == "new"
    assert not old.exists()
    exchange(place, folder(tmp_path / "newer", "newer"), old)
    assert (place / "a.txt").read_text() == "newer"
    assert (old / "a.txt").read_text() == "new"


def test_an_exchange_that_fails_is_undone(tmp_path):
    place = folder(tmp_path / "place", "mine")
    with pytest.raises(FileNotFoundError):
        exchange(place, tmp_path / "nowhere", tmp_path / "old")
    assert (place / "a.txt").read_text() == "mine"
    assert not (tmp_path / "old").exists()


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path):
    kept = [".a.zarr-notes", ".b.zarr-abcd_123", ".a.zarr.old-abcd_123", "a.zarr-abcd_123"]
    for name in (".a.zarr-abcd_123", *kept):
        (tmp_path / name / "part").mkdir(parents=True)
    sweep(tmp_path / "a.zarr")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(kept)
