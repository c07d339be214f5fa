from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from stflow.model.denoiser._staging import staged


def test_on_the_cpu_tensors_stay_where_they_are() -> None:
    items = [[torch.ones(2), torch.zeros(1)], [torch.ones(3)]]
    found = list(staged(items, torch.device("cpu")))
    assert [[id(t) for t in item] for item in found] == [[id(t) for t in item] for item in items]


class Recorder:
    """Stands in for streams and tensors, and writes down what is done in which order."""

    def __init__(self, log: list[str], name: str = "") -> None:
        self.log, self.name = log, name

    def to(self, device, *, non_blocking: bool) -> Recorder:
        self.log.append(f"copy {self.name}")
        return self

    def record_event(self) -> str:
        return "event"

    def record_stream(self, stream) -> None:
        self.log.append(f"keep {self.name}")

    def wait_stream(self, stream) -> None:
        self.log.append("copies wait for what was computed")

    def wait_event(self, event) -> None:
        self.log.append("compute waits for the copy")


@pytest.mark.parametrize("n_items", [0, 1, 3])
def test_on_cuda_the_next_is_copied_before_the_last_is_used(monkeypatch, n_items: int) -> None:
    log: list[str] = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Recorder(log))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Recorder(log))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    items = [[Recorder(log, str(i))] for i in range(n_items)]
    for (item,) in staged(items, torch.device("cuda")):
        log.append(f"use {item.name}")
    assert log[0] == "copies wait for what was computed"
    assert [line for line in log if line.startswith("use")] == [f"use {i}" for i in range(n_items)]
    for i in range(n_items):
        assert log.index(f"copy {i}") < log.index(f"keep {i}") < log.index(f"use {i}")
        if i + 1 < n_items:
            assert log.index(f"copy {i + 1}") < log.index(f"use {i}")
    assert log.count("compute waits for the copy") == n_items
