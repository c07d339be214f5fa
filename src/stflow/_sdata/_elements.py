"""Boundary: room for a new element, and the element in its place."""

from __future__ import annotations

from typing import Any

from spatialdata import SpatialData

KINDS = ("images", "labels", "points", "shapes", "tables")


def require_new(sdata: SpatialData, key: str, kind: str, *, overwrite: bool, word: str) -> None:
    """Raise ``ValueError`` when an element called ``key`` may not be written.

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
    for other in KINDS:
        if key in getattr(sdata, other) and not (overwrite and other == kind):
            way_out = ", or `overwrite=True` to replace it" if other == kind else ""
            raise ValueError(
                f"The SpatialData already holds {key!r}, in its {other}. Pass another "
                f"`{word}=`{way_out}."
            )


def put(sdata: SpatialData, key: str, kind: str, element: Any) -> None:
    """Write an element, in place of one of the same name and kind."""
    elements = getattr(sdata, kind)
    if key in elements:
        del elements[key]
    elements[key] = element
