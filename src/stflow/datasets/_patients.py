"""What the slides of a synthetic patient share: depth, shifts of genes and stain. Arrays only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from stflow._validation import require_count
from stflow.datasets._law import Law
from stflow.datasets._stain import COMMON_STAINS, shift_stains

_N_DIRECTIONS = 2
_SHARED = 0.5


@dataclass(frozen=True)
class Cohort:
    """How many patients there are and how they differ; the parameters are those of `synthetic`."""

    n_patients: int | None = None
    patient_shift: float = 0.3
    patient_depth: float = 0.3
    patient_stain: float = 0.08

    def __post_init__(self) -> None:
        for name, most in (("patient_shift", 2), ("patient_depth", 2), ("patient_stain", 0.5)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"`{name}` must lie between 0 and {most}, not {value!r}.")
            if self.n_patients is None and value != getattr(Cohort, name):
                raise ValueError(f"`{name}` says how patients differ; pass `n_patients=`, too.")
        if self.n_patients is not None:
            require_count(self.n_patients, name="n_patients")


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """What is a patient's own: symbols as in the notes of `synthetic`.

    Parameters
    ----------
    name
        ``"P1"``, ``"P2"`` and so on.
    cohort
        What the patient was drawn from.
    depth
        The patient's :math:`d`.
    shift
        The shift of each gene, :math:`s`, shape (G,).
    stains
        The stains that those of the slides lie around, shape (2, 3).
    """

    name: str
    cohort: Cohort
    depth: float
    shift: np.ndarray
    stains: np.ndarray

    def law(self, common: Law) -> Law:
        """Shift the law that all patients share."""
        return replace(common, base=common.base + self.depth + self.shift)

    def record(self) -> dict[str, Any]:
        """List what a slide keeps of its patient."""
        return {**asdict(self.cohort), "depth": self.depth, "shift": self.shift}


def draw_patients(cohort: Cohort, n_genes: int, rng: np.random.Generator) -> list[Patient]:
    """Draw all patients, none of whom depends on how many there are."""
    if cohort.n_patients is None:
        return []
    directions = rng.normal(0, 1, (_N_DIRECTIONS, n_genes))
    directions /= np.sqrt((directions**2).sum(axis=0))
    return [
        _draw_patient(f"P{number}", cohort, directions, each)
        for number, each in enumerate(rng.spawn(cohort.n_patients), start=1)
    ]


def _draw_patient(
    name: str, cohort: Cohort, directions: np.ndarray, rng: np.random.Generator
) -> Patient:
    n_directions, n_genes = directions.shape
    shared = rng.normal(0, _SHARED**0.5, n_directions) @ directions
    own = rng.normal(0, (1 - _SHARED) ** 0.5, n_genes)
    return Patient(
        name,
        cohort,
        depth=float(cohort.patient_depth * rng.standard_normal()),
        shift=cohort.patient_shift * (shared + own),
        stains=shift_stains(COMMON_STAINS, cohort.patient_stain, rng),
    )
