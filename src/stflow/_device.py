"""Which device torch runs on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stflow._validation import require_choice

if TYPE_CHECKING:
    import torch


def resolve_device(device: str) -> torch.device:
    """Return the torch device that ``device`` names.

    Parameters
    ----------
    device
        ``"auto"`` (CUDA, else CPU) or a name as torch has it, such as ``"cuda:1"``. MPS is used
        only by name, since torch has no kernels there for parts of the network.

    Raises
    ------
    ValueError
        There is no such device on this machine.
    """
    import torch

    there = _devices()
    kinds = {name.partition(":")[0]: None for name in there}
    if device == "auto":
        return torch.device("cuda" if "cuda" in kinds else "cpu")
    choices = dict.fromkeys(["auto", *kinds, *there])
    require_choice(str(device), choices, name="device")
    return torch.device(device)


def describe_devices() -> list[str]:
    """Tell the devices of this machine, a line each, and what ``"auto"`` is."""
    import torch

    auto = resolve_device("auto").type
    lines = []
    for name in _devices():
        about = f"{os.cpu_count()} processors, {torch.get_num_threads()} threads"
        if name.startswith("cuda"):
            found = torch.cuda.get_device_properties(name)
            about = f"{found.name}, {found.total_memory / 1024**3:.0f} GiB"
        about = "" if name == "mps" else f": {about}"
        lines.append(f"{name}{about}{' (auto)' if name.partition(':')[0] == auto else ''}")
    return lines


def _devices() -> list[str]:
    import torch

    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return cuda + ["mps"] * torch.backends.mps.is_available() + ["cpu"]


def resolve_devices(
    device: str | torch.device | Sequence[str | torch.device],
) -> list[torch.device]:
    """Return the torch devices that ``device`` names, one or several; see `resolve_device`.

    Raises
    ------
    ValueError
        There is no such device on this machine, or none is named.
    """
    names = list(device) if isinstance(device, list | tuple) else [device]
    if not names:
        raise ValueError("`device` is empty; name at least one.")
    return [resolve_device(str(name)) for name in names]
