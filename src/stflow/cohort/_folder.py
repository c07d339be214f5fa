"""The folder of a run over a cohort: what lies where, and who may write to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from stflow._atomic import write_bytes
from stflow._runs import RunFolder, as_json, differences
from stflow._sdata import read_record
from stflow.cohort._manifest import Row
from stflow.cohort._state import DONE, State

TABLE, STATES, LOCKS, CACHES, MODEL = "cohort.csv", "state", ".locks", "cache", "model"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where a run over a cohort leaves its stores, and how far it is.

    Parameters
    ----------
    path
        The folder.
    """

    path: Path

    @property
    def run(self) -> RunFolder:
        """Whose folder it is."""
        return RunFolder(self.path, "cohort", "path")

    def store(self, slide: str) -> Path:
        """Name the store of a slide."""
        return self.path / f"{slide}.zarr"

    def state_file(self, slide: str) -> Path:
        """Name the file that tells how far a slide is."""
        return self.path / STATES / f"{slide}.json"

    def cache(self, slide: str) -> Path:
        """Name the folder of the vectors of a slide that is not finished."""
        return self.path / CACHES / slide

    def lock(self, name: str) -> FileLock:
        """Make a lock; it is given up when its process ends, however it ends."""
        (self.path / LOCKS).mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / LOCKS / f"{name}.lock")

    def state(self, row: Row) -> State:
        """Tell how far a slide is, by its store where it has one.

        Raises
        ------
        FileExistsError
            Something else lies where its store would.
        ValueError
            The slide was read in another way, or a file is damaged.
        """
        kept = State.read(self.state_file(row.slide))
        store = self.store(row.slide)
        if store.exists():
            record = read_record(store)
            if record is None:
                raise FileExistsError(f"{store} is there, and no run over a cohort wrote it.")
            if kept is None or kept.state != DONE:
                kept = State.of(record)
            self._require_same(row, kept)
            return kept
        queued = State(row.slide, row.patient, row.plain())
        return queued if kept is None or kept.state == DONE else kept

    def _require_same(self, row: Row, kept: State) -> None:
        if odd := differences(as_json(row.plain()), kept.row):
            raise ValueError(
                f"Slide {row.slide!r} is finished in {self.path}, and was read in another way: "
                f"{'; '.join(odd)}. Give it another name, or delete {self.store(row.slide)}."
            )

    @contextmanager
    def claim(self, run: Mapping[str, Any], task: int, tasks: int) -> Iterator[None]:
        """Keep other runs out, but for the other tasks of one array.

        Parameters
        ----------
        run
            What the results depend on.
        task, tasks
            Which task it is, of how many.

        Raises
        ------
        RuntimeError
            Another run works in the folder.
        ValueError
            The folder is of another run.
        """
        mine, end = f"task-{task}-of-{tasks}", f"-of-{tasks}"
        with self.lock("table"):
            others = sorted(each.stem for each in (self.path / LOCKS).glob("task-*.lock"))
            busy = [name for name in others if name == mine or not name.endswith(end)]
            for name in busy:
                self._require_idle(name)
            self.run.require_same(run)
            self.run.note(run)
            held = self.lock(mine)
            held.acquire()
        try:
            yield
        finally:
            held.release()

    def _require_idle(self, name: str) -> None:
        lock = self.lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"Another run works in {self.path} ({name.replace('-', ' ')}). Wait until it has "
                "ended, or name another folder."
            ) from error
        lock.release()

    def states(self, rows: Sequence[Row], known: Mapping[str, State]) -> list[State]:
        """Return the states of a manifest's slides, and of others that were done here."""
        found = {row.slide: known.get(row.slide) or self.state(row) for row in rows}
        for file in sorted((self.path / STATES).glob("[!.]*.json")):
            if file.stem not in found and (state := State.read(file)):
                found[file.stem] = state
        return list(found.values())

    def write_table(self, rows: Sequence[Row], known: Mapping[str, State]) -> pd.DataFrame:
        """Write the table of all slides and return it.

        Parameters
        ----------
        rows
            The manifest.
        known
            States that could not be written, as on a full disk.
        """
        with self.lock("table"):
            frame = table_of(self.states(rows, known))
            write_bytes(self.path / TABLE, frame.to_csv(index=False).encode())
        return frame


def is_cohort(path: Path) -> bool:
    """Whether a run over a cohort worked in a folder."""
    try:
        return bool(RunFolder(path, "cohort", "path").read())
    except ValueError:
        return False


def table_of(states: Iterable[State]) -> pd.DataFrame:
    """Make a table, one row a slide."""
    return pd.DataFrame([state.line() for state in states])
