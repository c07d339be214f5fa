"""What each step of a script takes: wall and CPU time, and memory of its own and with files."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEAD = [
    "Defaults but for what the command says, one process, CPU. Memory in GiB, looked at twice a",
    "second: its own when a step begins (what the C library kept of what was freed is given back",
    "first), the most that it held in the step, and that with pages of files on disk, which the",
    "system takes back when it needs them.",
    "",
]


class Memory:
    """The most memory held since the last look, own and in all, in GiB."""

    def __init__(self) -> None:
        self._most = (0.0, 0.0)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._note()
            time.sleep(0.5)

    def _note(self) -> None:
        status = Path("/proc/self/status").read_text()
        held = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Rss"))
        sizes = {name: int(size.split()[0]) / 2**20 for name, size in held.items()}
        now = sizes["RssAnon"], sum(sizes.values())
        self._most = max(self._most[0], now[0]), max(self._most[1], now[1])

    def most(self) -> tuple[float, float]:
        """Tell, and begin anew."""
        self._note()
        most, self._most = self._most, (0.0, 0.0)
        return most


class Steps:
    """Runs steps, and notes what each took, as lines of a table."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.lines = [
            "| step | wall (s) | CPU (s) | own at first | own at most | with files |",
            "| --- | --- | --- | --- | --- | --- |",
        ]

    def __call__(self, name: str, step: Callable[[], Any]) -> Any:
        """Run a step, and return what it gives."""
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        self.memory.most()
        first, _ = self.memory.most()
        wall, cpu = time.perf_counter(), time.process_time()
        found = step()
        took = time.perf_counter() - wall, time.process_time() - cpu
        own, every = self.memory.most()
        figures = [*(f"{each:,.0f}" for each in took), *(f"{x:.1f}" for x in (first, own, every))]
        self.lines.append(f"| {' | '.join([name, *figures])} |")
        print(self.lines[-1], flush=True)
        return found
