"""How long a step takes, and how much memory it needs at most."""

from __future__ import annotations

import gc
import time
from threading import Event, Thread
from typing import Self

import psutil
import torch

MIB = 2**20
INTERVAL_S = 0.02


class Measure:
    """Measures what happens inside a ``with`` block.

    Memory is the largest resident size of the process, sampled 50 times a second, and on a CUDA
    device the largest that torch allocated there. What `let_go` gives back before does not count.

    Parameters
    ----------
    device
        Where the block computes.

    Attributes
    ----------
    seconds, peak_mib
        Known after the block.
    """

    seconds: float
    peak_mib: float

    def __init__(self, device: torch.device) -> None:
        self._device, self._done, self._peak = device, Event(), 0
        self._process = psutil.Process()
        self._sampler = Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._look()
        self._sampler.start()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.seconds = time.perf_counter() - self._start
        self._done.set()
        self._sampler.join()
        self._look()
        on_device = 0
        if self._device.type == "cuda":
            on_device = torch.cuda.max_memory_allocated(self._device)
        self.peak_mib = (on_device or self._peak) / MIB

    def _sample(self) -> None:
        while not self._done.wait(INTERVAL_S):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)


def let_go() -> None:
    """Give memory that nobody holds any more back, as far as the system can."""
    gc.collect()
    if hasattr(psutil, "heap_trim"):
        psutil.heap_trim()
