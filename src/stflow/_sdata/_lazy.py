"""Boundary: tables that were read lazily, whose annotations are needed as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from anndata import AnnData


def read_annotations(table: AnnData) -> None:
    """Bring names, annotations, graphs and recipes of a lazily read table into memory, in place.

    Counts, layers and the arrays of ``.obsm``, such as embeddings, stay on disk; of ``.obsm``
    only frames, such as predictions, are read. A table in memory, or opened backed, is left as
    it is.
    """
    if isinstance(table.obs, pd.DataFrame):
        return
    spots, genes = _plain(table.obs_names), _plain(table.var_names)
    frames = {name: values for name, values in table.obsm.items() if hasattr(values, "to_memory")}
    # frames without columns come back without their names
    table.obs = table.obs.to_memory().set_axis(spots)
    table.var = table.var.to_memory().set_axis(genes)
    for name, frame in frames.items():
        table.obsm[name] = frame.to_memory().set_axis(spots)
    for name in list(table.obsp):
        table.obsp[name] = _in_memory(table.obsp[name])
    table.uns = _in_memory(table.uns)


def copied(table: AnnData) -> AnnData:
    """Return a copy, in memory where the table was opened backed."""
    return table.to_memory() if table.isbacked else table.copy()


def _plain(names: pd.Index) -> pd.Index:
    """Names as they were before anndata stored them, which calls an index without a name so."""
    return names.rename(None) if names.name == "_index" else names


def _in_memory(values: Any) -> Any:
    """Read what dask or anndata would only read when it is computed."""
    if isinstance(values, Mapping):
        return {key: _in_memory(each) for key, each in values.items()}
    read = getattr(values, "compute", None) or getattr(values, "to_memory", None)
    return values if read is None else read()
