"""Seeds, and the random state of torch: seeded for a while, left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated_rng(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what torch draws inside (weights, dropout) and leave its global state as it was."""
    used = [device] if device.type in ("cuda", "mps") else []
    kind = device.type if used else "cuda"
    with torch.random.fork_rng(used, device_type=kind):
        seed_torch(seed, device)
        yield


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what torch draws from here on, on the CPU and on the device."""
    torch.random.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def spawn_seeds(seed: int, n: int) -> list[int]:
    """Derive seeds from one; the first are the same however many there are."""
    children = np.random.SeedSequence(seed).spawn(n)
    return [int(child.generate_state(1, np.uint64)[0] >> 1) for child in children]
