"""Training on disk as of its last whole epoch: one file a flow, replaced in one step."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from stflow._atomic import write_bytes
from stflow._validation import listing

FILES, SCRATCH = "flow-*.safetensors", ".flow-"
HEADER, FORMAT_VERSION = "stflow-training", 2
ANEW = "Pass another directory as `checkpoint=`, or delete this one to start anew."


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where one flow leaves the state of its training.

    Parameters
    ----------
    path, flow
        The directory, made when first written to, and the number of the flow.
    run
        What the run computes: equal for runs that give the same result. Plain values.
    tensors, rows
        The state that was found: tensors, and history with one row an epoch. Empty: none.
    """

    path: Path
    flow: int
    run: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def open(cls, path: str | Path, flow: int) -> Checkpoint:
        """Read what is there, if anything.

        Raises
        ------
        FileExistsError
            A file, or a directory with other files, is in the way.
        NotADirectoryError, PermissionError
            The directory cannot be made.
        ValueError
            The checkpoint is damaged, or not written by this stflow.
        """
        empty = cls(Path(path), flow)
        if empty.file.is_file():
            return replace(empty, **_read(empty.file))
        _require_room(empty.path)
        return empty

    @property
    def file(self) -> Path:
        """The file."""
        return self.path / FILES.replace("*", str(self.flow))

    def claim(self, run: dict[str, Any], *, max_epochs: int) -> Checkpoint:
        """Return this checkpoint for a run, when it is empty or that run's own.

        Raises
        ------
        ValueError
            It is another run's, or holds more than ``max_epochs``.
        """
        if self.rows and run != self.run:
            differ = "; ".join(_differences(run, self.run))
            raise ValueError(f"The checkpoint {self.path} is of another fit: {differ}. {ANEW}")
        if len(self.rows) > max_epochs:
            raise ValueError(
                f"The checkpoint {self.file} holds {len(self.rows)} epochs, more than "
                f"`max_epochs` = {max_epochs}. {ANEW}"
            )
        return replace(self, run=run)

    def write(self, tensors: dict[str, Tensor], rows: list[dict[str, float]]) -> None:
        """Replace the state on disk; cut off at any moment, the one before stays whole."""
        about = json.dumps({"format_version": FORMAT_VERSION, "run": self.run, "rows": rows})
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_bytes(self.file, save(whole, metadata={HEADER: about}))


def _read(file: Path) -> dict[str, Any]:
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {})[HEADER])
        tensors = load(file.read_bytes())  # in memory: Windows replaces no file that is mapped
        if about["format_version"] == FORMAT_VERSION:
            return {"run": about["run"], "tensors": tensors, "rows": about["rows"]}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The checkpoint {file} is damaged, or not written by `fit` ({error}). {ANEW}"
        ) from error
    raise ValueError(
        f"The checkpoint {file} has format {about['format_version']}, this stflow reads "
        f"{FORMAT_VERSION}. {ANEW}"
    )


def _require_room(folder: Path) -> None:
    if folder.is_dir():
        there = sorted(each.name for each in folder.iterdir() if not each.name.startswith(SCRATCH))
        if there and not list(folder.glob(FILES)):
            raise FileExistsError(
                f"{folder} holds no checkpoint, but {listing(there)}. Pass a new or an empty "
                "directory as `checkpoint=`."
            )
    elif folder.exists():
        raise FileExistsError(f"{folder} is a file. Pass a directory as `checkpoint=`.")
    parent = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not parent.is_dir():
        raise NotADirectoryError(f"The checkpoint {folder} cannot be made: {parent} is a file.")
    if not os.access(parent, os.W_OK):
        raise PermissionError(f"The checkpoint {folder} cannot be made: {parent} is read-only.")


def _differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Name what differs, with both values when they are short."""
    found = []
    for name in {**here, **there}:
        new, old = (repr(run.get(name)) for run in (here, there))
        if new != old:
            short = max(len(new), len(old)) <= 60
            found.append(f"{name} is {new}, there {old}" if short else f"{name} differs")
    return found
