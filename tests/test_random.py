from __future__ import annotations

import pytest
import torch

from stflow._random import isolated_rng, spawn_seeds


def test_what_is_drawn_is_seeded_and_the_global_state_left() -> None:
    before, drawn = torch.get_rng_state(), []
    for _ in range(2):
        with isolated_rng(3, torch.device("cpu")):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


def test_on_mps_its_own_state_is_seeded_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ["before"]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: state[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda new, device: state.__setitem__(0, new))
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: state.__setitem__(0, f"seed {seed}"))
    with isolated_rng(3, torch.device("mps")):
        assert state == ["seed 3"]
    assert state == ["before"]


def test_the_first_seeds_do_not_depend_on_how_many_there_are() -> None:
    assert spawn_seeds(0, 5)[:2] == spawn_seeds(0, 2)
    assert len(set(spawn_seeds(0, 5))) == 5
