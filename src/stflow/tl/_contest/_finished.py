"""What a cross-validation has done so far, on disk: a file for each fold and method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np

from stflow._atomic import write_bytes
from stflow._runs import RunFolder
from stflow.tl._contest._competitors import Outcome


@dataclass(frozen=True, slots=True)
class FoldStore:
    """A folder of finished folds, all of one run.

    Parameters
    ----------
    folder
        The folder.
    methods
        What each method is, by its name.
    """

    folder: RunFolder
    methods: Mapping[str, str]

    @classmethod
    def open(cls, path: str | Path, run: Mapping[str, Any], methods: Mapping[str, str]) -> Self:
        """Make the folder, or take up one that holds the same run.

        Raises
        ------
        FileExistsError
            A file, or a folder with other files, is in the way.
        NotADirectoryError, PermissionError
            The folder cannot be made.
        ValueError
            The folder is of a run with other data or arguments.
        """
        folder = RunFolder(Path(path), "cross-validation", "resume")
        folder.require_room()
        folder.require_same(run)
        folder.note(run)
        return cls(folder, methods)

    def read(self, fold: str, method: str) -> Outcome | None:
        """Return what was stored of a fold and method, or None.

        Raises
        ------
        ValueError
            The file is damaged, or of another method by that name.
        """
        what, file = self.methods[method], self._file(fold, method)
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
            raise ValueError(
                f"{file} is of another method: {stored}, not {what}. {self.folder.anew}"
            )
        return outcome

    def write(self, fold: str, method: str, outcome: Outcome) -> None:
        """Store a finished fold and method; cut off at any moment, the file is whole or absent."""
        what = np.array(self.methods[method])
        with BytesIO() as buffer:
            np.savez(buffer, predicted=outcome.predicted, crps=outcome.crps, what=what)
            write_bytes(self._file(fold, method), buffer.getvalue())

    def _file(self, fold: str, method: str) -> Path:
        return self.folder.path / f"{quote(fold, safe='')}--{quote(method, safe='')}.npz"
