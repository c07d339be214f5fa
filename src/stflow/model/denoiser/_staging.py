"""Bring tensors to where they are computed with, the next while the last is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def staged(items: Iterable[list[Tensor]], device: torch.device) -> Iterator[list[Tensor]]:
    """Yield lists of tensors on a device.

    On CUDA a list is copied on a stream of its own while the one before it is computed with, which
    is truly at once when the tensors are in pinned memory. Tensors that are there stay there.

    Parameters
    ----------
    items
        Lists of tensors, taken one ahead.
    device
        Where to bring them.
    """
    if device.type != "cuda":
        yield from ([tensor.to(device) for tensor in item] for item in items)
        return
    compute = torch.cuda.current_stream(device)
    copies = torch.cuda.Stream(device)
    copies.wait_stream(compute)
    upcoming: list[Tensor] | None = None
    for item in items:
        current = upcoming
        with torch.cuda.stream(copies):
            upcoming = [tensor.to(device, non_blocking=True) for tensor in item]
            arrived = copies.record_event()
        if current is not None:
            yield current
        compute.wait_event(arrived)
        for tensor in upcoming:
            tensor.record_stream(compute)
    if upcoming is not None:
        yield upcoming
