"""Which slides are learned from and which are tested on. Names alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stflow._validation import listing


@dataclass(frozen=True, slots=True)
class Split:
    """One fold.

    Parameters
    ----------
    name
        What tables call it.
    train, test
        Names of the slides on either side.

    Raises
    ------
    ValueError
        A side has no slide, or a slide is on both.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for side, names in (("train on", self.train), ("test on", self.test)):
            if not names:
                raise ValueError(f"Fold {self.name!r} has no slide to {side}.")
        both = sorted({*self.train} & {*self.test})
        if both:
            raise ValueError(
                f"Fold {self.name!r} has {listing(both)} on both sides; a slide that a method "
                "was trained on is no test."
            )


def leave_groups_out(groups: Mapping[str, str]) -> tuple[Split, ...]:
    """Return a fold for each group, called as it is: its slides against all others.

    Parameters
    ----------
    groups
        The group of each slide, such as its patient; at least two.

    Returns
    -------
    Folds in the order in which their groups first occur.

    Raises
    ------
    ValueError
        There is one group only.
    """
    return tuple(
        Split(
            name,
            tuple(slide for slide, group in groups.items() if group != name),
            tuple(slide for slide, group in groups.items() if group == name),
        )
        for name in dict.fromkeys(groups.values())
    )
