"""Boundary: room for a new element, and the element in its place."""

from __future__ import annotations

from typing import Any

from spatialdata import SpatialData

KINDS = ("images", "labels", "points", "shapes", "tables")


def require_new(sdata: SpatialData, key: str, kind: str, *, overwrite: bool, word: str) -> None:
    """Raise ``ValueError`` when an element called ``key`` may not or cannot be written.

    Parameters
    ----------
    sdata
        Where it would go.
    key
        Its name.
    kind
        What it would be: ``"images"``, ``"shapes"`` or ``"tables"``.
    overwrite
        Whether it may replace an element of the same kind.
    word
        The argument that names it.
    """
    _require_name(key, word)
    names = [(other, name) for other in KINDS for name in getattr(sdata, other)]
    for other, name in names:
        replaced = overwrite and (other, name) == (kind, key)
        if same_name(name, key) and not replaced:
            way_out = ", or `overwrite=True` to replace it" if (other, name) == (kind, key) else ""
            raise ValueError(
                f"The SpatialData already holds {name!r}, in its {other}. Pass another "
                f"`{word}=`{way_out}."
            )


def same_name(one: str, other: str) -> bool:
    """Whether two elements cannot be in one store, on disks that do not tell case apart."""
    return one.lower() == other.lower()


def _require_name(key: str, word: str) -> None:
    if not isinstance(key, str):
        raise TypeError(f"`{word}` is a {type(key).__name__}, not the name of an element.")
    known = all(letter.isalnum() or letter in "_-." for letter in key)
    if not known or key in ("", ".", "..") or key.startswith("__"):
        raise ValueError(
            f"`{word}` is {key!r}; the name of an element is letters, digits, underscores, dots "
            "and hyphens, and does not start with two underscores."
        )


def put(sdata: SpatialData, key: str, kind: str, element: Any) -> None:
    """Write an element, in place of one of the same name and kind."""
    elements = getattr(sdata, kind)
    if key in elements:
        del elements[key]
    elements[key] = element
