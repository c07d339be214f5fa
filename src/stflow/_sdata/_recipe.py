"""Boundary: whether two embeddings were made the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_COMPARED = ("versions", "image_mpp", "blank", "features", "precision")


def require_same_recipe(
    recipe: Mapping[str, Any], wanted: Mapping[str, Any], *, what: str, other: str
) -> None:
    """Raise ``ValueError``, naming both, when two recipes would give different embeddings.

    Versions, precision, the scale of the image, how much of it is blank and the name of a table of
    features are not compared.
    """
    names = [name for name in {**wanted, **recipe} if name not in NOT_COMPARED]
    odd = [name for name in names if recipe.get(name) != wanted.get(name)]
    if odd:
        mine, theirs = (
            ", ".join(f"{name}={each[name]!r}" for name in odd if name in each) or "no recipe"
            for each in (recipe, wanted)
        )
        raise ValueError(
            f"The embedding of {what} ({mine}) is not that of {other} ({theirs}). Make them alike "
            "with `stf.pp.embed`, or name another with `embedding_key=`."
        )
