"""Slides told apart by patient, and what is left out of training together. Arrays only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stflow.slide._parts import subset
from stflow.slide._slide import Slide


def by_patient(slide: Slide, patients: np.ndarray) -> list[Slide]:
    """Give a slide its patient, or take it apart where several have spots on it.

    Parameters
    ----------
    slide
        A slide of N spots.
    patients
        The patient of each row of the table that it was read from; ``slide.rows`` says which.

    Returns
    -------
    The slide, or its parts, called ``slide/patient``, in the order of their first spots. There
    are no edges between parts.
    """
    own = patients[slide.rows]
    names = list(dict.fromkeys(own.tolist()))
    if len(names) == 1:
        return [replace(slide, patient=names[0])]
    return [
        replace(
            subset(slide, np.flatnonzero(own == name)), name=f"{slide.name}/{name}", patient=name
        )
        for name in names
    ]


def left_out_together(patients: Sequence[str | None]) -> list[int]:
    """Tell what is left out as a whole, by number: patients, or slides where there are not two.

    A patient who is on both sides of a fold says nothing of new ones. Where some slides do not
    say whose they are, each may be anybody's, so nothing is known of patients at all.

    Parameters
    ----------
    patients
        The patient of each slide, None where unknown.

    Returns
    -------
    The number of each slide's patient, in the order in which they first occur; where some are
    unknown, or all are the same, the number of the slide.
    """
    known = list(dict.fromkeys(patients))
    if None in known or len(known) < 2:
        return list(range(len(patients)))
    return [known.index(patient) for patient in patients]
