"""The right exception, listing what is available and the call to run first; and warnings."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Iterable, Sequence
from numbers import Integral, Real
from types import FrameType
from typing import Any

import numpy as np
import scipy.sparse as sp

CREDIBLE_MPP = (0.05, 20.0)


def listing(names: Iterable[object], *, limit: int = 10) -> str:
    """Join the names, quoted and cut after ``limit``; ``none`` when there are none."""
    shown = [repr(str(name)) for name in names]
    if not shown:
        return "none"
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def require_key(key: str, available: Iterable[str], *, what: str, hint: str = "") -> None:
    """Raise ``KeyError`` unless ``key`` is among ``available``."""
    names = list(available)
    if key not in names:
        message = f"No {what} {key!r}; available: {listing(names)}."
        raise KeyError(f"{message} {hint}".strip())


def require_free(
    keys: Iterable[str], taken: Collection[str], *, what: str, word: str | None = "key_added"
) -> None:
    """Raise ``ValueError`` when one of ``keys`` would overwrite something.

    ``word`` is the argument that names it, None where there is none.
    """
    clash = [key for key in keys if key in taken]
    if clash:
        other = f"another `{word}=`, or " if word else ""
        raise ValueError(
            f"{what} already holds {listing(clash)}. Pass {other}`overwrite=True` to replace it."
        )


def require_apart(keys: Iterable[str], read: Collection[str | None]) -> None:
    """Raise ``ValueError`` when one of ``keys`` is read by the call that would write it."""
    if clash := [key for key in keys if key in read]:
        raise ValueError(
            f"`key_added=` would write over {listing(clash)}, which this call reads. Pass another."
        )


def require_unique(names: Sequence[str], *, what: str) -> None:
    """Raise ``ValueError`` when a name occurs twice."""
    seen: set[str] = set()
    twice = sorted({str(name) for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if twice:
        raise ValueError(f"Duplicated {what}: {listing(twice)}. Names must be unique.")


def require_choice(value: str, choices: Collection[str], *, name: str) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"`{name}` is {value!r}; available: {listing(choices, limit=30)}.")


def require_positive(value: float, *, name: str) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number above zero."""
    if not np.isfinite(value) or value <= 0:
        raise ValueError(f"`{name}` must be a positive number, not {value!r}.")


def is_credible_mpp(value: float) -> bool:
    """Whether a pixel of a full-resolution image may measure so many micrometres."""
    low, high = CREDIBLE_MPP
    return bool(low <= value <= high)


def require_mpp(value: float, *, name: str = "image_mpp") -> None:
    """Raise ``ValueError`` unless a scanner's pixel may measure so many micrometres."""
    require_positive(value, name=name)
    if not is_credible_mpp(value):
        low, high = CREDIBLE_MPP
        raise ValueError(
            f"`{name}` is {value:g}; pixels of a slide measure {low:g} to {high:g} micrometres."
        )


def require_count(value: object, *, name: str, at_least: int = 1) -> None:
    """Raise ``ValueError`` unless ``value`` is a whole number of at least that many."""
    if not isinstance(value, Integral) or value < at_least:
        raise ValueError(f"`{name}` must be a whole number of at least {at_least}, not {value!r}.")


def require_level(level: object) -> None:
    """Raise ``ValueError`` unless an interval can hold that share, between 0 and 1."""
    if not (isinstance(level, Real) and 0 < float(level) < 1):
        raise ValueError(f"`level` must be between 0 and 1, not {level!r}.")


def require_seed(value: object) -> None:
    """Raise ``ValueError`` unless ``value`` can seed scikit-learn, too, which takes 32 bits."""
    if not isinstance(value, Integral) or not 0 <= int(value) < 2**32:
        raise ValueError(f"`seed` must be a whole number from 0 to 2**32 - 1, not {value!r}.")


def require_finite(matrix: Any, *, what: str) -> None:
    """Raise ``ValueError`` when a dense array or sparse matrix holds NaN or infinity."""
    values = matrix.data if sp.issparse(matrix) else matrix
    bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
    if bad:
        raise ValueError(f"{what} holds {bad} values that are NaN or infinite.")


def require_places(coords: np.ndarray, *, what: str) -> None:
    """Raise ``ValueError`` when two spot centres, of shape (N, 2), are the same."""
    n_places = len(np.unique(coords[:, 0] + 1j * coords[:, 1]))
    if n_places < len(coords):
        raise ValueError(
            f"{len(coords) - n_places} {what} lie where another one lies; every spot needs a place "
            "of its own. Spots of several samples are several slides."
        )


def require_counts(matrix: Any, *, what: str) -> None:
    """Raise ``ValueError`` unless a dense array or sparse matrix holds raw counts."""
    require_finite(matrix, what=what)
    values = matrix.data if sp.issparse(matrix) else np.asarray(matrix)
    if (values < 0).any():
        raise ValueError(f"{what} holds negative values; stflow needs raw counts.")
    if (values != np.round(values)).any():
        raise ValueError(
            f"{what} holds values that are not whole numbers, so it looks normalised or logged "
            "already; stflow needs raw counts."
        )


def warn(message: str, kind: type[UserWarning] = UserWarning) -> None:
    """Issue a ``UserWarning`` that points at the user's own line, however deep it arises.

    Parameters
    ----------
    message, kind
        What to say, and what kind of warning it is.
    """
    _, level = _outside()
    warnings.warn(message, kind, stacklevel=level)


def told(error: BaseException) -> str:
    """Tell an error in one line, with its notes."""
    plain = isinstance(error, KeyError) and len(error.args) == 1
    text = str(error.args[0] if plain else error) or type(error).__name__
    return " ".join(" ".join([text, *getattr(error, "__notes__", [])]).split())


def users_file() -> str:
    """Name the file that warnings which arise here point at: the user's own, above all of ours."""
    frame, _ = _outside()
    return "" if frame is None else frame.f_code.co_filename


def _outside() -> tuple[FrameType | None, int]:
    """Return the nearest frame that is none of ours, and how far it is above the caller."""
    package = __name__.partition(".")[0]
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return frame, level
