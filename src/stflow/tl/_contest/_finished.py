"""What a cross-validation has done so far, on disk: a file for each fold and method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np

from stflow._atomic import write_bytes
from stflow._validation import listing
from stflow.tl._contest._competitors import Outcome

RUN = "run.json"
ANEW = "Pass another folder as `path=`, or delete this one to start anew."


@dataclass(frozen=True, slots=True)
class FoldStore:
    """A folder of finished folds, all of one run.

    Parameters
    ----------
    path
        The folder.
    methods
        What each method is, by its name.
    """

    path: Path
    methods: Mapping[str, str]

    @classmethod
    def open(cls, path: str | Path, run: Mapping[str, Any], methods: Mapping[str, str]) -> Self:
        """Make the folder, or take up one that holds the same run.

        Raises
        ------
        FileExistsError
            A file, or a folder with other files, is in the way.
        ValueError
            The folder is of a run with other data or arguments.
        """
        folder, wanted = Path(path), json.loads(json.dumps(run, default=str))
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is a file. Pass a folder as `path=`.")
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
        if there and RUN not in there:
            raise FileExistsError(
                f"{folder} holds no cross-validation, but {listing(there)}. Pass a new or an empty "
                "folder as `path=`."
            )
        store = cls(folder, methods)
        if there:
            store._require_same(wanted)
        else:
            write_bytes(store.path / RUN, json.dumps(wanted, indent=2).encode())
        return store

    def read(self, fold: str, method: str) -> Outcome | None:
        """Return what was stored of a fold and method, or None.

        Raises
        ------
        ValueError
            The file is damaged, or of another method by that name.
        """
        what, file = self.methods[method], self.path / _file(fold, method)
        if not file.exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as found:
                outcome, stored = Outcome(found["predicted"], found["crps"]), str(found["what"])
        except (BadZipFile, EOFError, KeyError, ValueError) as error:
            raise ValueError(
                f"{file} is damaged ({error}). Delete it to compute it anew."
            ) from error
        if stored != what:
            raise ValueError(f"{file} is of another method: {stored}, not {what}. {ANEW}")
        return outcome

    def write(self, fold: str, method: str, outcome: Outcome) -> None:
        """Store a finished fold and method; cut off at any moment, the file is whole or absent."""
        what = np.array(self.methods[method])
        with BytesIO() as buffer:
            np.savez(buffer, predicted=outcome.predicted, crps=outcome.crps, what=what)
            write_bytes(self.path / _file(fold, method), buffer.getvalue())

    def _require_same(self, run: dict[str, Any]) -> None:
        try:
            old = json.loads((self.path / RUN).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{self.path / RUN} is damaged ({error}). {ANEW}") from error
        odd = [name for name in {**run, **old} if run.get(name) != old.get(name)]
        if odd:
            raise ValueError(
                f"{self.path} is of another cross-validation: {listing(odd)} differ. {ANEW}"
            )


def _file(fold: str, method: str) -> str:
    return f"{quote(fold, safe='')}--{quote(method, safe='')}.npz"
