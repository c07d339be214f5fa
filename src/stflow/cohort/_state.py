"""How far each slide is, on disk: a small file a slide, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stflow._atomic import write_bytes

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
STAGES = ("read", "tissue", "artifacts", "grid", "embed", "neighbors", "predict", "write")


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a slide.

    Parameters
    ----------
    slide, patient
        Which, and whose.
    row
        What the manifest says of it.
    state
        ``"queued"``, ``"running"``, ``"done"`` or ``"failed"``.
    stage
        Where it is, or where it failed.
    error
        One line why it failed.
    passing
        Whether another try may succeed.
    attempts
        How often it was begun.
    started
        When, the last time.
    seconds
        Of each stage.
    spots, novelty, artifacts
        What it amounts to; None while that is unknown.
    warnings
        What was warned of.
    versions
        Of what made it, and the number of threads.
    worker
        Machine and process.
    """

    slide: str
    patient: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)
    state: str = QUEUED
    stage: str = ""
    error: str = ""
    passing: bool = False
    attempts: int = 0
    started: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    spots: int | None = None
    novelty: float | None = None
    artifacts: float | None = None
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    worker: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return what `plain` gave."""
        return cls(**{**values, "warnings": tuple(values["warnings"])})

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """Read a state, None where there is none.

        Raises
        ------
        ValueError
            The file is damaged.
        """
        try:
            return cls.of(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is damaged ({error}). Delete it.") from error

    def plain(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def write(self, file: Path) -> None:
        """Write the state: the new one or the old one is there."""
        write_bytes(file, json.dumps(self.plain(), indent=1).encode())

    def line(self) -> dict[str, Any]:
        """Return a row of the table."""
        return {
            "slide": self.slide,
            "patient": self.patient,
            "state": self.state,
            "stage": self.stage,
            "error": self.error,
            "spots": self.spots,
            "novelty": self.novelty,
            "artifacts": self.artifacts,
            "seconds": round(sum(self.seconds.values()), 3),
            **{f"{stage}_s": self.seconds.get(stage) for stage in STAGES},
            "attempts": self.attempts,
            "warnings": " | ".join(self.warnings),
            "versions": ", ".join(f"{name} {told}" for name, told in self.versions.items()),
            "started": self.started,
            "worker": self.worker,
        }
