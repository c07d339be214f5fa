from __future__ import annotations

from pathlib import Path

import pytest

from stflow.cohort._state import DONE, STAGES, State


def test_a_state_comes_back_from_disk(tmp_path: Path):
    state = State("a", "P1", {"path": "x"}, DONE, seconds={"read": 0.25}, warnings=("odd", "again"))
    file = tmp_path / "state" / "a.json"
    assert State.read(file) is None
    state.write(file)
    assert State.read(file) == state
    line = state.line()
    assert (line["seconds"], line["read_s"], line["embed_s"]) == (0.25, 0.25, None)
    assert line["warnings"] == "odd | again"
    assert all(f"{stage}_s" in line for stage in STAGES)


@pytest.mark.parametrize("text", ["{", "{}", '{"slide": "a", "warnings": [], "more": 1}'])
def test_a_damaged_state_is_named(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json is damaged"):
        State.read(tmp_path / "a.json")
