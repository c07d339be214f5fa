"""A folder that belongs to one run: claimed by what it computes, and refused to any other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stflow._atomic import write_bytes
from stflow._validation import listing

MARK = "run.json"
SHORT = 60


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run that may be cut off leaves what it has done.

    Parameters
    ----------
    path
        The folder, made when first written to.
    kind
        What messages call the run, such as ``"fit"``.
    word
        The argument that names the folder.
    """

    path: Path
    kind: str
    word: str

    @property
    def anew(self) -> str:
        """What to do when the folder is of no use."""
        return f"Pass another folder as `{self.word}=`, or delete this one to start anew."

    def require_room(self) -> None:
        """Check that the folder is one of such runs, or can be made.

        Raises
        ------
        FileExistsError
            A file, or a folder with other files, is in the way.
        NotADirectoryError, PermissionError
            The folder cannot be made.
        ValueError
            It is of another kind of run, or damaged.
        """
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path} is a file. Pass a folder as `{self.word}=`.")
        found = self.path.iterdir() if self.path.is_dir() else ()
        there = sorted(each.name for each in found if not each.name.startswith("."))
        if there and MARK not in there:
            raise FileExistsError(
                f"{self.path} holds no {self.kind}, but {listing(there)}. Pass a new or an empty "
                f"folder as `{self.word}=`."
            )
        parent = next(each for each in (self.path, *self.path.absolute().parents) if each.exists())
        if not parent.is_dir():
            raise NotADirectoryError(f"{self.path} cannot be made: {parent} is a file.")
        if not os.access(parent, os.W_OK):
            raise PermissionError(f"{self.path} cannot be made: {parent} is read-only.")
        self.read()

    def read(self) -> dict[str, Any]:
        """Return the run that the folder belongs to; empty when it belongs to none.

        Raises
        ------
        ValueError
            What says so is damaged, or tells of another kind of run.
        """
        file = self.path / MARK
        try:
            found = dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} is damaged ({error}). {self.anew}") from error
        kind = found.pop("kind", self.kind)
        if kind != self.kind:
            raise ValueError(f"{self.path} holds a {kind}, no {self.kind}. {self.anew}")
        return found

    def require_same(self, run: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` when the folder is another run's, naming what differs."""
        old = self.read()
        if old and (odd := differences(as_json(run), old)):
            told = "; ".join(odd)
            raise ValueError(f"{self.path} is of another {self.kind}: {told}. {self.anew}")

    def note(self, run: Mapping[str, Any]) -> None:
        """Make the folder a run's own; what it depends on are plain values or arrays."""
        wanted = as_json(run)
        if wanted != self.read():
            text = json.dumps({"kind": self.kind, **wanted}, indent=2)
            write_bytes(self.path / MARK, text.encode())


def as_json(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they come back from a file."""
    return json.loads(json.dumps(run, default=_plain))


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> Sequence[str]:
    """Name what differs, with both values where they are short."""
    found = []
    for name in {**here, **there}:
        new, old = (repr(run.get(name)) for run in (here, there))
        if new != old:
            short = max(len(new), len(old)) <= SHORT
            found.append(f"{name} is {new}, there {old}" if short else f"{name} differs")
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
