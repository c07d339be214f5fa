"""Boundary: the layers of a table by name. anndata 0.13 calls X a layer, the one named None."""

from __future__ import annotations

from anndata import AnnData


def layer_names(table: AnnData) -> list[str]:
    """Names of a table's layers, without X."""
    return [name for name in table.layers if name is not None]
