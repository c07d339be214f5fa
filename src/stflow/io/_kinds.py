"""Which reader a kind of slide is for, and which words are its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from spatialdata import SpatialData

from stflow._sdata import Store
from stflow._validation import listing
from stflow.io._read_visium import read_visium
from stflow.io._read_visium_hd import read_visium_hd
from stflow.io._read_wsi import read_wsi
from stflow.io._read_xenium import read_xenium
from stflow.io._told import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)
READERS = {
    "visium": read_visium,
    "visium_hd": read_visium_hd,
    "xenium": read_xenium,
    "wsi": read_wsi,
}
OWNERS: dict[str, tuple[Kind, ...]] = {
    "image": ("visium", "visium_hd", "xenium"),
    "alignment": ("xenium",),
    "bin_um": ("visium_hd",),
    "cells": ("visium_hd",),
    "image_key": ("store",),
}
IDENTITY = "identity"
UNIT = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def misplaced(kind: Kind, words: Mapping[str, Any]) -> list[str]:
    """Name the words, of those that are given, that are of other kinds alone."""
    given = [name for name, value in words.items() if value is not None]
    return [name for name in given if kind not in OWNERS.get(name, KINDS)]


def read_kind(path: Path, kind: Kind, **words: Any) -> SpatialData:
    """Read a slide of any kind.

    Parameters
    ----------
    path, kind
        Where it lies, and what `kind_of` calls it.
    **words
        Of its reader, None where they are left to it. ``alignment="identity"`` is of an image that
        is registered already. What is of a store's image is for those who use it.

    Raises
    ------
    ValueError
        A word is of another kind.
    Exception
        What the reader raises.
    """
    if odd := misplaced(kind, words):
        raise ValueError(
            f"{path} is {kind}, and {listing(odd)} "
            f"{'is' if len(odd) == 1 else 'are'} not of that kind."
        )
    if kind == "store":
        return Store.read(path).sdata
    how = {name: value for name, value in words.items() if value is not None}
    if how.get("alignment") == IDENTITY:
        how["alignment"] = UNIT
    return READERS[kind](path, **how)
