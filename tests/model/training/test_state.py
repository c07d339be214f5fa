from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stflow.model.training import _state
from stflow.model.training._state import FORMAT_VERSION, HEADER, FlowState, claim, open_states

FILE = "flow-0.safetensors"
RUN = {"lr": 0.1, "genes": [f"GENE{i}" for i in range(50)], "seed": 0}
TENSORS = {"a": torch.arange(6.0).reshape(2, 3).T, "step": torch.tensor(7)}
ROWS = [{"epoch": 0, "val_loss": 0.1 + 0.2, "val_pearson": float("nan")}]


def read(path: Path, max_epochs: int = 9) -> FlowState:
    return claim(open_states(path, 1), RUN, max_epochs=max_epochs)[0]


def write(path: Path) -> Path:
    read(path).write(TENSORS, ROWS)
    return path / FILE


def test_gives_back_what_was_written(tmp_path) -> None:
    folder = tmp_path / "runs" / "one"
    write(folder)
    found = read(folder, max_epochs=1)
    assert found.folder.read() == RUN
    assert all(torch.equal(found.tensors[name], TENSORS[name]) for name in TENSORS)
    assert found.rows[0]["val_loss"] == 0.1 + 0.2
    assert found.rows[0]["val_pearson"] != found.rows[0]["val_pearson"]
    assert sorted(each.name for each in folder.iterdir()) == [FILE, "run.json"]


def test_nothing_is_made_before_the_first_write(tmp_path) -> None:
    found = read(tmp_path / "new", max_epochs=1)
    assert (found.tensors, found.rows) == ({}, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_state_before(tmp_path, monkeypatch, call: str) -> None:
    before = write(tmp_path).read_bytes()

    def fail(*_) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        read(tmp_path).write({"a": torch.ones(9)}, ROWS * 2)
    assert (tmp_path / FILE).read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [FILE, "run.json"]


def test_another_run_is_refused(tmp_path) -> None:
    write(tmp_path)
    found = open_states(tmp_path, 1)
    other = {**RUN, "lr": 0.2}
    with pytest.raises(ValueError, match=r"another fit: lr is 0.2, there 0.1\. Pass"):
        claim(found, other, max_epochs=9)
    with pytest.raises(ValueError, match="holds 1 epochs, more than `max_epochs` = 0"):
        claim(found, RUN, max_epochs=0)
    assert claim(found, RUN, max_epochs=1)[0].rows


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def scribble(file: Path) -> None:
    file.write_bytes(b"not a state" * 10)


def foreign(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file)


def not_json(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file, metadata={HEADER: "{"})


def not_whole(file: Path) -> None:
    save_file({"a": torch.ones(2)}, file, metadata={HEADER: '{"format_version": 3}'})


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
        open_states(tmp_path, 1)
    assert file.read_bytes() == before


def test_another_format_is_refused(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(_state, "FORMAT_VERSION", 99)
        write(tmp_path)
    with pytest.raises(ValueError, match=f"has format 99, this stflow reads {FORMAT_VERSION}"):
        open_states(tmp_path, 1)
