"""Boundary: what slides and groups are called, settled before any work is done with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from stflow._validation import listing, require_unique

Named = TypeVar("Named")
MISSING = {"", "nan", "<na>", "nat"}


def by_text(named: Mapping[Any, Named], *, what: str = "slides") -> dict[str, Named]:
    """Return what is named with names that are text; whole numbers become their digits.

    Raises
    ------
    TypeError
        A name is something else, such as a float or None.
    ValueError
        A name is empty, or two are the same text.
    """
    names = [text_name(name, what=what) for name in named]
    require_unique(names, what=f"names of {what}")
    return dict(zip(names, named.values(), strict=True))


def text_name(name: Any, *, what: str = "slides") -> str:
    """Return a name as text; errors are those of `by_text`."""
    whole = isinstance(name, Integral) and not isinstance(name, bool)
    if not (isinstance(name, str) or whole):
        raise TypeError(
            f"The {what} have text or whole numbers for names, and {name!r} is a "
            f"{type(name).__name__}. Rename it, as with "
            "`{str(name): each for name, each in data.items()}`."
        )
    text = str(name)
    if not text.strip():
        raise ValueError(f"One of the {what} has an empty name, {text!r}. Give it one.")
    return text


def require_apart(names: Sequence[str]) -> None:
    """Raise ``ValueError`` when slides of one name would be taken for one.

    A region of a slide is called ``slide/region``, and the spots of one of its patients
    ``slide/patient``, as another slide may be.
    """
    require_unique(names, what="names of slides and their parts")


def groups_of(slides: Collection[str], groups: Mapping[Any, Any] | None) -> dict[str, str]:
    """Group of each slide, as text: its own name when there are no ``groups``.

    Parameters
    ----------
    slides
        Names of the slides, as `by_text` gives them.
    groups
        A dict or Series with text or a number for each slide.

    Raises
    ------
    KeyError
        A slide has no group, or a group is given for a slide that is not there.
    TypeError
        ``groups`` is no mapping, or a group is neither text nor a number.
    ValueError
        The group of a slide is missing, as NaN, or there is only one group.
    """
    given = {name: name for name in slides} if groups is None else given_groups(groups)
    resolved = settle_groups(slides, given)
    if len(set(resolved.values())) < 2:
        raise ValueError(
            f"Groups are held out one at a time, so two or more are needed; the slides "
            f"{listing(slides)} are of {listing(set(resolved.values()))}."
        )
    return resolved


def given_groups(groups: Any, *, also: str = "") -> dict[str, Any]:
    """Return groups by the names of their slides, as `by_text` does.

    ``also`` is what else may be passed. Raises ``TypeError`` when they are no mapping.
    """
    if not isinstance(groups, Mapping | pd.Series):
        raise TypeError(
            f"`groups` is a {type(groups).__name__}; pass a dict with the group of each "
            f"slide{also}."
        )
    return by_text(dict(groups))


def settle_groups(slides: Collection[str], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the group of each slide as text.

    Errors are those of `groups_of`, which asks for two groups, too.
    """
    lost = [name for name in slides if name not in given]
    extra = [name for name in given if name not in slides]
    if lost or extra:
        raise KeyError(
            f"`groups` needs one entry for each slide: {listing(lost)} without a group; "
            f"{listing(extra)} not among the slides. Slides: {listing(slides)}."
        )
    unknown = [name for name in slides if is_missing(given[name])]
    if unknown:
        raise ValueError(
            f"`groups` names no group (NaN, None or empty text) for {listing(unknown)}. Name one, "
            "or leave these slides out: of an unknown patient nothing can be held out."
        )
    return {name: as_group(given[name], f"slide {name!r}") for name in slides}


def is_missing(value: Any) -> bool:
    """Whether a value that ought to tell something is None, NaN, or the text of either."""
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    return value is None or (np.ndim(value) == 0 and bool(pd.isna(value)))


def as_group(value: Any, of: str) -> str:
    """Return a group as text, the same for 1, 1.0 and "1"; ``of`` is what messages say it is of.

    Raises ``TypeError`` when it is neither text nor a number.
    """
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if isinstance(value, Real):
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    raise TypeError(f"The group of {of} is a {type(value).__name__}, not text or a number.")
