"""What a benchmark has done so far, on disk: a file for each fold, method, encoder and seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap

from stflow._atomic import beside, write_bytes
from stflow._runs import MARK, RunFolder, as_json
from stflow._units import Units
from stflow._validation import listing

TABLE, LOCK = "results.csv", ".lock"
ROWS, PREDICTIONS, TRUTHS = "rows", "predictions", "measured"
EMBEDDINGS, BROUGHT, TILES = "embeddings", "brought", "tiles"
ROWS_AT_ONCE = 512
NAMED = ("tasks", "encoders", "methods")
UNSAID: Units = "counts"


class OtherDataError(ValueError):
    """A folder holds results on other data, and nothing may be added to it."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which result.

    Parameters
    ----------
    task, fold, protocol, method, encoder, seed
        Encoder is empty for methods that learn from tiles without a pretrained network.
    units
        What expression is told in. Results that do not say it are of raw counts, and the names
        of files do not say these.
    """

    task: str
    fold: str
    protocol: str
    method: str
    encoder: str
    seed: int
    units: Units = UNSAID

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """Return the key of a row."""
        return cls(**{each.name: row[each.name] for each in fields(cls)})

    @property
    def name(self) -> str:
        """Name of its files."""
        parts = [*asdict(self).values()]
        return "--".join(map(file_name, parts[:-1] if self.units == UNSAID else parts))


def file_name(part: object) -> str:
    """Write anything as a part of a file's name, in which no hyphen is left."""
    return quote(str(part), safe="").replace("-", "%2D")


class Results:
    """A folder of results, all of one benchmark, that one process writes to at a time.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, RunFolder(path, "benchmark", "path")
        self._lock = FileLock(path / LOCK)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Take up a folder to read from.

        Raises
        ------
        FileNotFoundError
            It holds no benchmark.
        """
        if not Path(path, MARK).is_file():
            raise FileNotFoundError(
                f"{path} holds no benchmark. Run `stflow bench run --out {path}` first."
            )
        return cls(Path(path))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Make the folder, or take up one of a benchmark.

        Raises
        ------
        FileExistsError
            A file, or a folder with other files, is in the way.
        NotADirectoryError, PermissionError
            The folder cannot be made.
        """
        results = cls(Path(path))
        results.folder.require_room()
        results.path.mkdir(parents=True, exist_ok=True)
        return results

    def __enter__(self) -> Self:
        """Keep others from writing.

        Raises
        ------
        RuntimeError
            Another run writes to the folder.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"Another run is writing to {self.path}. Wait until it has ended, or name another "
                "folder."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def claim(self, run: Mapping[str, Any], session: Mapping[str, Any]) -> None:
        """Note what is run, and by whom; it may add tasks, encoders and methods.

        While there is no result, the panel and the like may still be changed.

        Parameters
        ----------
        run
            ``tasks``, ``encoders`` and ``methods``, each by name, and what must be the same for
            all.
        session
            Command, versions and machine.

        Raises
        ------
        ValueError
            The folder is of a run with other data or arguments.
        """
        wanted, old = as_json({**run, "sessions": [session]}), self.run()
        if not self._has_results():
            old = {part: old[part] for part in (*NAMED, "sessions") if part in old}
        merged, odd = merge_runs(old, wanted)
        if odd:
            raise ValueError(
                f"{self.path} is of another benchmark: {listing(odd)} differ. {self.folder.anew}"
            )
        self.folder.note(merged)

    def run(self) -> dict[str, Any]:
        """Return what `claim` noted.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        return self.folder.read()

    def row(self, key: Key) -> dict[str, Any] | None:
        """Return a finished row, or None.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        file = self.path / ROWS / f"{key.name}.json"
        return _load(file) if file.exists() else None

    def add(self, key: Key, row: Mapping[str, Any]) -> None:
        """Store a row: whole or absent."""
        self._write(f"{ROWS}/{key.name}.json", json.dumps({**asdict(key), **row}).encode())

    def frame(self) -> pd.DataFrame:
        """Return all rows, in the order of their names; those that say no units are of counts."""
        rows = [_load(file) for file in self._rows()]
        names = [each.name for each in fields(Key)]
        return pd.DataFrame([{name: row.get(name, UNSAID) for name in names} | row for row in rows])

    def write_table(self) -> pd.DataFrame:
        """Write all rows as a table, and return it."""
        frame = self.frame()
        self._write(TABLE, frame.to_csv(index=False).encode())
        return frame

    def _has_results(self) -> bool:
        return any(not _load(file)["error"] for file in self._rows())

    def _rows(self) -> list[Path]:
        return sorted((self.path / ROWS).glob("[!.]*.json"))

    def given(self) -> set[str]:
        """Name the arrays that tell what was measured, and which vectors were brought."""
        files = (file for part in (TRUTHS, BROUGHT) for file in (self.path / part).rglob("*.npz"))
        kept = (file.relative_to(self.path).with_suffix("") for file in files)
        return {name.as_posix() for name in kept if not name.name.startswith(".")}

    def has_given(self, name: str, **arrays: np.ndarray) -> bool:
        """Tell whether there are results here that were made with these arrays.

        Raises
        ------
        OtherDataError
            They were made with others.
        """
        kept = self.read_arrays(name)
        if kept is None:
            return False
        if odd := unlike(arrays, kept):
            raise OtherDataError(
                f"{self.path} holds results on other data: {listing(odd)} of {name} differ. Name "
                "another folder."
            )
        return True

    def read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Return named arrays, or None.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        file = self.path / f"{name}.npz"
        if not file.exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as found:
                return dict(found)
        except (BadZipFile, EOFError, KeyError, ValueError) as error:
            raise _damaged(file, error) from error

    def write_arrays(self, name: str, **arrays: np.ndarray) -> None:
        """Store named arrays under a name that may hold a folder."""
        with BytesIO() as buffer:
            np.savez(buffer, **arrays)  # type: ignore[arg-type]
            self._write(f"{name}.npz", buffer.getvalue())

    def mapped(self, name: str, rows: Any) -> np.ndarray:
        """Return rows that are slow to read out of order as a memory map, written when missing.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        file = self.path / f"{name}.npy"
        if not file.exists():
            with beside(file) as scratch:
                fresh = scratch / file.name
                copy = open_memmap(fresh, mode="w+", dtype=np.uint8, shape=rows.shape)
                for first in range(0, len(rows), ROWS_AT_ONCE):
                    copy[first : first + ROWS_AT_ONCE] = rows[first : first + ROWS_AT_ONCE]
                copy.flush()
                del copy  # Windows moves no file that is mapped
                fresh.replace(file)
        try:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        except (EOFError, OSError, ValueError) as error:
            raise _damaged(file, error) from error

    def _write(self, name: str, content: bytes) -> None:
        write_bytes(self.path / name, content)


def merge_runs(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Join what two runs were made of, and name what differs.

    Parameters
    ----------
    old, new
        ``tasks``, ``encoders`` and ``methods`` by name, of which each may have others;
        ``sessions``, a list; and
        what must be the same. ``old`` may be empty.
    """
    merged = {**old, **new, "sessions": [*old.get("sessions", []), *new["sessions"]]}
    odd = [name for name in old.keys() - {*NAMED, "sessions"} if merged[name] != old[name]]
    for part in NAMED:
        before = old.get(part, {})
        merged[part] = {**before, **new.get(part, {})}
        odd += [f"{part} {name}" for name in before if merged[part][name] != before[name]]
    return merged, sorted(odd)


def unlike(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[str]:
    """Name the arrays that both have and that are not the same."""
    common = [name for name in one if name in other]
    return [name for name in common if not np.array_equal(one[name], other[name])]


def _load(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file} is damaged ({error}). Delete it to compute it anew.")
