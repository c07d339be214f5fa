"""Pure values: which of the things that a file says of its scale is believed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from stflow._validation import is_credible_mpp


class Claim(NamedTuple):
    """What one place in a file says of its scale.

    Parameters
    ----------
    um
        Micrometres per pixel along x and along y.
    source
        Where that stands.
    """

    um: tuple[float, float]
    source: str


class Scale(NamedTuple):
    """The scale of an image, as its file has it.

    Parameters
    ----------
    um
        Micrometres per pixel along x and along y; None where nothing credible is said.
    source
        Where that stands.
    doubtful
        What no scanner has and is said all the same, in words.
    """

    um: tuple[float, float] | None = None
    source: str = ""
    doubtful: str = ""


def believe(claims: Iterable[Claim]) -> Scale:
    """Take the first claim that a scanner's pixel can have; the others say nothing.

    Parameters
    ----------
    claims
        The most trusted first.
    """
    doubtful = []
    for claim in claims:
        if all(map(is_credible_mpp, claim.um)):
            return Scale(*claim)
        values = " x ".join(f"{value:.4g}" for value in dict.fromkeys(claim.um))
        doubtful.append(f"{claim.source} says {values} um")
    return Scale(doubtful=", ".join(doubtful))


def to_number(text: object) -> float | None:
    """Return a finite number above zero; None for anything else."""
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None


def described(text: str, pattern: str) -> float | None:
    """Return the number that a description gives where the pattern ends; None if it does not."""
    found = re.search(rf"{pattern}\s*([0-9.]+)", text)
    return to_number(found[1]) if found else None
