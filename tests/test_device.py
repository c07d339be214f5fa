"""Which device torch runs on."""

from __future__ import annotations

import pytest
import torch

from stflow._device import resolve_device


@pytest.fixture
def machine(monkeypatch):
    def build(*, cuda: int, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return build


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(2, True, "cuda"), (0, True, "cpu"), (0, False, "cpu")]
)
def test_auto_takes_cuda_where_there_is_one_and_mps_only_by_name(machine, cuda, mps, device):
    machine(cuda=cuda, mps=mps)
    assert resolve_device("auto") == torch.device(device)


def test_a_device_by_name(machine):
    machine(cuda=2, mps=False)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cpu") == torch.device("cpu")
    machine(cuda=0, mps=True)
    assert resolve_device("mps") == torch.device("mps")


@pytest.mark.parametrize("device", ["cuda:2", "mps", "gpu", "meta"])
def test_a_device_that_is_not_there_lists_what_is(machine, device):
    machine(cuda=2, mps=False)
    message = f"`device` is '{device}'; available: 'auto', 'cuda', 'cpu', 'cuda:0', 'cuda:1'."
    with pytest.raises(ValueError, match=message):
        resolve_device(device)
