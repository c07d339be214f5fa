"""Training on disk as of its last whole epoch: one file a flow, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from stflow._atomic import write_bytes
from stflow._runs import RunFolder

HEADER, FORMAT_VERSION = "stflow-training", 6


@dataclass(frozen=True, slots=True, eq=False)
class FlowState:
    """Where one flow leaves the state of its training, and what was found there.

    Parameters
    ----------
    folder, flow
        The folder of the fit, made when first written to, and the number of the flow.
    tensors, rows
        The state that was found: tensors, and history with one row an epoch. Empty: none.
    run
        What the fit computes: equal for fits that give the same result.
    """

    folder: RunFolder
    flow: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    run: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder, flow: int) -> Self:
        """Read what is there, if anything.

        Raises
        ------
        ValueError
            The file is damaged, or not written by this stflow.
        """
        empty = cls(folder, flow)
        if not empty.file.is_file():
            return empty
        try:
            with safe_open(empty.file, framework="pt") as opened:
                about = json.loads((opened.metadata() or {})[HEADER])
            # in memory: Windows replaces no file that is mapped
            tensors = load(empty.file.read_bytes())
            version, rows = about["format_version"], about["rows"]
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{empty.file} is damaged, or not written by `fit` ({error}). {folder.anew}"
            ) from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{empty.file} has format {version}, this stflow reads {FORMAT_VERSION}. "
                f"{folder.anew}"
            )
        return cls(folder, flow, tensors, rows)

    @property
    def file(self) -> Path:
        """The file."""
        return self.folder.path / f"flow-{self.flow}.safetensors"

    def write(self, tensors: Mapping[str, Tensor], rows: list[dict[str, float]]) -> None:
        """Replace the state on disk; cut off at any moment, the one before stays whole."""
        self.folder.note(self.run)
        about = json.dumps({"format_version": FORMAT_VERSION, "rows": rows})
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_bytes(self.file, save(whole, metadata={HEADER: about}))


def open_states(path: str | Path, n_flows: int) -> list[FlowState]:
    """Read the states of a fit's flows from a folder, new or that of a fit.

    Raises
    ------
    FileExistsError
        A file, or a folder with other files, is in the way.
    NotADirectoryError, PermissionError
        The folder cannot be made.
    ValueError
        A file is damaged, or not written by this stflow.
    """
    folder = RunFolder(Path(path), "fit", "resume")
    folder.require_room()
    return [FlowState.read(folder, flow) for flow in range(n_flows)]


def claim(states: list[FlowState], run: Mapping[str, Any], *, max_epochs: int) -> list[FlowState]:
    """Return the states for a run, when their folder is empty or that run's own.

    Raises
    ------
    ValueError
        It is another run's, or holds more than ``max_epochs``.
    """
    folder = states[0].folder
    if any(state.rows for state in states):
        folder.require_same(run)
    for state in states:
        if len(state.rows) > max_epochs:
            raise ValueError(
                f"{state.file} holds {len(state.rows)} epochs, more than `max_epochs` = "
                f"{max_epochs}. {folder.anew}"
            )
    return [replace(state, run=run) for state in states]


def how_to_resume(saved: FlowState | None = None) -> str:
    """Say how a fit goes on that was cut off."""
    if saved is None:
        return "Pass `resume=` to be able to resume such a run."
    return f"The same call with `resume={str(saved.folder.path)!r}` resumes it."
