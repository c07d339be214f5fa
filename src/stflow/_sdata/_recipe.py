"""Boundary: how embeddings were made, and whether two were made the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from spatialdata import SpatialData

from stflow._calls import LOCAL, embed_call
from stflow._sdata._tables import get_table

NOT_COMPARED = ("versions", "image_mpp", "blank", "features", "precision")
ROUNDING = 1e-6


def read_recipe(
    data: SpatialData | AnnData, table_key: str, embedding_key: str, *, name: str = ""
) -> dict[str, Any]:
    """Recipe of an embedding as plain types, empty when it came without one.

    Raises
    ------
    TypeError
        What is there under the name of the embedding is no dict of plain values.
    """
    recipe = get_table(data, table_key, name=name).uns.get(embedding_key)
    if recipe is None:
        return {}
    if not isinstance(recipe, Mapping):
        of = f" of {name}" if name else ""
        raise TypeError(
            f".uns[{embedding_key!r}] of table {table_key!r}{of} is a {type(recipe).__name__}, not "
            "the recipe of an embedding, a dict. Delete it, or make the embedding anew with "
            "`stf.pp.embed(sdata, overwrite=True)`."
        )
    try:
        return {str(key): _plain(value) for key, value in recipe.items()}
    except TypeError as error:
        raise TypeError(
            f".uns[{embedding_key!r}] of table {table_key!r}, the recipe of an embedding, holds "
            f"{error}, which cannot be kept in a model. Write it as text or numbers."
        ) from error


def _plain(value: Any) -> Any:
    """Return what JSON can keep, or raise ``TypeError`` with the class that it cannot."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str | int | float | None):
        return value
    raise TypeError(f"a {type(value).__name__}")


def require_same_recipe(
    recipe: Mapping[str, Any], wanted: Mapping[str, Any], *, what: str, other: str
) -> None:
    """Raise ``ValueError``, naming both, when two recipes would give different embeddings.

    Versions, precision, the scale of the image, how much of it is blank and the name of a table of
    features are not compared. The widths of tiles follow from their scales: where both have these,
    widths are told but decide nothing.
    """
    names = [name for name in {**wanted, **recipe} if name not in NOT_COMPARED]
    odd = [name for name in names if not same_word(name, recipe, wanted)]
    tiles = all({"mpp", "tile_px"} <= set(each) for each in (recipe, wanted))
    follow = {"widths_um"} if tiles else set()
    if set(odd) - follow:
        mine, theirs = (
            ", ".join(f"{name}={each[name]!r}" for name in odd if name in each) or "no recipe"
            for each in (recipe, wanted)
        )
        raise ValueError(
            f"The embedding of {what} ({mine}) is not that of {other} ({theirs}). Make them alike "
            f"with `{embed_call(wanted, overwrite=True)}`, or name another with `embedding_key=`."
        )


def same_word(name: str, recipe: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two recipes say the same under a name, scales and widths but for rounding.

    An encoder of a folder is told by its weights, not by where the folder lies.
    """
    mine, theirs = recipe.get(name), wanted.get(name)
    if name == "encoder" and all(str(each).startswith(LOCAL) for each in (mine, theirs)):
        return True
    if name not in ("mpp", "widths_um") or mine is None or theirs is None:
        return mine == theirs
    try:
        first, other = (np.asarray(each, dtype=np.float64) for each in (mine, theirs))
    except (TypeError, ValueError):
        return mine == theirs
    return first.shape == other.shape and np.allclose(first, other, rtol=ROUNDING, atol=0)


def shared_recipe(
    data: Mapping[str, SpatialData | AnnData], table_key: str, embedding_key: str
) -> dict[str, Any]:
    """Return the recipe that the embeddings of all slides share; empty where there is none.

    Raises
    ------
    TypeError
        A recipe is no dict of plain values.
    ValueError
        Two differ.
    """
    recipes = {
        name: read_recipe(each, table_key, embedding_key, name=name) for name, each in data.items()
    }
    first = next(iter(recipes), "")
    for name, recipe in recipes.items():
        require_same_recipe(
            recipe, recipes[first], what=f"slide {name!r}", other=f"slide {first!r}"
        )
    return recipes.get(first, {})


def require_same_width(widths: Mapping[str, int]) -> None:
    """Raise ``ValueError`` unless the embeddings of all slides have one width."""
    if len(set(widths.values())) > 1:
        raise ValueError(f"The embeddings of the slides differ in width: {dict(widths)}.")
