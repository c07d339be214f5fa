"""Boundary: the embedding of the spots into a table, with the recipe that says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from stflow._validation import require_free


def require_new_embedding(table: AnnData, key: str, *, overwrite: bool, where: str) -> None:
    """Raise ``ValueError`` when an embedding called ``key`` would overwrite something.

    ``where`` is what messages call the table.
    """
    if not overwrite:
        require_free([key], {*table.obsm, *table.uns}, what=where)


def write_embedding(
    table: AnnData, key: str, embedding: np.ndarray, recipe: Mapping[str, Any]
) -> None:
    """Write an embedding and its recipe, to which its width is added.

    Parameters
    ----------
    table, key
        Where to write, and the key in ``obsm`` and ``uns``.
    embedding
        A row for each spot of the table, shape (N, F).
    recipe
        What slides must have in common for a model to read them, and what else is good to know.
    """
    table.obsm[key] = embedding
    table.uns[key] = {**recipe, "width": embedding.shape[1]}
