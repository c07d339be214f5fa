"""What processes that train tell one another, by files: how far they are, and when to stop."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tqdm.auto import tqdm

EVERY = 0.5
SHOWN = ("train_loss", "val_loss")


@dataclass(frozen=True, slots=True)
class Board:
    """A folder that all processes of a fit see.

    Parameters
    ----------
    path
        The folder.
    """

    path: Path

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """Make a temporary one."""
        with TemporaryDirectory(prefix="stflow-", ignore_cleanup_errors=True) as path:
            yield cls(Path(path))

    def ask_to_stop(self) -> None:
        """Ask all to stop at their next step."""
        (self.path / "stop").touch()

    @property
    def asked_to_stop(self) -> bool:
        """Whether all are asked to stop."""
        return (self.path / "stop").exists()

    def note(self, flow: int, row: Mapping[str, float]) -> None:
        """Tell of one more epoch of a flow."""
        with self._file(flow).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(row)) + "\n")

    def rows(self, flow: int) -> list[dict[str, float]]:
        """Read what was told of a flow."""
        file = self._file(flow)
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    @contextmanager
    def bars(self, flows: Mapping[int, Mapping[str, Any]]) -> Iterator[None]:
        """Show a bar over the epochs of each flow, given how, for as long as this is open."""
        over, shown = threading.Event(), dict.fromkeys(flows, 0)

        def follow() -> None:
            while not over.wait(EVERY):
                self._show(bars, shown)

        with ExitStack() as stack:
            bars = {flow: stack.enter_context(tqdm(**how)) for flow, how in flows.items()}
            following = threading.Thread(target=follow, daemon=True)
            following.start()
            try:
                yield
            finally:
                over.set()
                following.join()
                self._show(bars, shown)

    def _show(self, bars: Mapping[int, tqdm], shown: dict[int, int]) -> None:
        for flow, bar in bars.items():
            rows = self.rows(flow)
            for row in rows[shown[flow] :]:
                bar.set_postfix({name: f"{row[name]:.3f}" for name in SHOWN if name in row})
                bar.update()
            shown[flow] = len(rows)

    def _file(self, flow: int) -> Path:
        return self.path / f"flow-{flow}.jsonl"
