from __future__ import annotations

import os
from pathlib import Path

import pytest

from stflow._atomic import beside, write_bytes


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
