from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stflow.model.training import _state as _checkpoint
from stflow.model.training._state import HEADER, SCRATCH, Checkpoint

FILE = "flow-0.safetensors"
RUN = {"lr": 0.1, "genes": [f"GENE{i}" for i in range(50)], "seed": 0}
TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "step": torch.tensor(7)}
ROWS = [{"epoch": 0, "val_loss": 0.1 + 0.2, "val_pearson": float("nan")}]


def write(path: Path) -> Path:
    Checkpoint.open(path, 0).claim(RUN, max_epochs=9).write(TENSORS, ROWS)
    return path / FILE


def test_gives_back_what_was_written(tmp_path) -> None:
    folder = tmp_path / "runs" / "one"
    write(folder)
    found = Checkpoint.open(str(folder), 0).claim(RUN, max_epochs=1)
    assert found.run == RUN
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)
    assert found.rows[0]["val_loss"] == 0.1 + 0.2
    assert found.rows[0]["val_pearson"] != found.rows[0]["val_pearson"]
    assert [each.name for each in folder.iterdir()] == [FILE]


def test_nothing_is_made_before_the_first_write(tmp_path) -> None:
    found = Checkpoint.open(tmp_path / "new", 0).claim(RUN, max_epochs=1)
    assert (found.tensors, found.rows) == ({}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_state_before(tmp_path, monkeypatch, call: str) -> None:
    before = write(tmp_path).read_bytes()

    def fail(*_) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    found = Checkpoint.open(tmp_path, 0)
    with pytest.raises(OSError, match="disk full"):
        found.write({"a": torch.ones(9)}, ROWS * 2)
    assert (tmp_path / FILE).read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [FILE]


def test_leftovers_of_a_killed_write_are_no_hindrance(tmp_path) -> None:
    leftover = tmp_path / f"{SCRATCH}killed"
    leftover.mkdir()
    (leftover / FILE).write_bytes(b"half")
    write(tmp_path)
    assert Checkpoint.open(tmp_path, 0).rows[0]["epoch"] == 0


def test_another_run_is_refused(tmp_path) -> None:
    write(tmp_path)
    found = Checkpoint.open(tmp_path, 0)
    other = {**RUN, "lr": 0.2, "genes": RUN["genes"][::-1]}
    message = r"another fit: lr is 0.2, there 0.1; genes differs\. Pass another directory"
    with pytest.raises(ValueError, match=message):
        found.claim(other, max_epochs=9)
    with pytest.raises(ValueError, match="another fit: seed is None, there 0"):
        found.claim({name: RUN[name] for name in ("lr", "genes")}, max_epochs=9)
    with pytest.raises(ValueError, match="holds 1 epochs, more than `max_epochs` = 0"):
        found.claim(RUN, max_epochs=0)
    assert found.claim(RUN, max_epochs=1).rows


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def scribble(file: Path) -> None:
    file.write_bytes(b"not a checkpoint" * 10)


def foreign(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file)


def not_json(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file, metadata={HEADER: "{"})


def not_whole(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file, metadata={HEADER: '{"format_version": 2}'})


def not_a_dict(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file, metadata={HEADER: "[]"})


@pytest.mark.parametrize(
    "damage", [truncate, empty, scribble, foreign, not_json, not_whole, not_a_dict]
)
def test_a_damaged_file_is_refused_and_kept(tmp_path, damage) -> None:
    file = write(tmp_path)
    damage(file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=rf"{FILE} is damaged, or not .* delete this one"):
        Checkpoint.open(tmp_path, 0)
    assert file.read_bytes() == before


def test_another_format_is_refused(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(_checkpoint, "FORMAT_VERSION", 3)
        write(tmp_path)
    with pytest.raises(ValueError, match="has format 3, this stflow reads 2"):
        Checkpoint.open(tmp_path, 0)


def test_a_file_in_the_way(tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match=r"file is a file. Pass a directory"):
        Checkpoint.open(tmp_path / "file", 0)
    with pytest.raises(NotADirectoryError, match=r"cannot be made: .*file is a file"):
        Checkpoint.open(tmp_path / "file" / "below", 0)
    with pytest.raises(FileExistsError, match="holds no checkpoint, but 'file'"):
        Checkpoint.open(tmp_path, 0)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_place(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(PermissionError, match="is read-only"):
        Checkpoint.open(tmp_path / "new", 0)
