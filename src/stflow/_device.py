"""Which device torch runs on."""

from __future__ import annotations

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

    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    there += ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    kinds = {name.partition(":")[0]: None for name in there}
    if device == "auto":
        return torch.device("cuda" if "cuda" in kinds else "cpu")
    choices = dict.fromkeys(["auto", *kinds, *there])
    require_choice(str(device), choices, name="device")
    return torch.device(device)


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
