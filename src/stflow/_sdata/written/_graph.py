"""Boundary: graphs of spots into a table, where squidpy and scanpy look for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from stflow import _keys
from stflow._validation import require_apart, require_free


def require_new_graph(
    table: AnnData,
    *keys: str,
    overwrite: bool,
    where: str,
    word: str | None = None,
    read: Collection[str] = (),
) -> None:
    """Raise ``ValueError`` when a graph would overwrite something.

    Parameters
    ----------
    table, where
        The table, and what messages call it.
    keys
        Names of the matrices. What ``uns`` tells of a graph that is not there is no graph.
    overwrite
        Whether they may be replaced.
    word
        The argument that names the graph, None where its name is fixed.
    read
        What it is made of, and so never replaced.
    """
    require_apart(keys, read)
    if not overwrite:
        require_free(keys, {*table.obsp, *table.uns}, what=where, word=word)


def join_graphs(parts: Sequence[tuple[np.ndarray, sp.csr_matrix]], n_spots: int) -> sp.csr_matrix:
    """Put the graphs of several slides into one matrix over a table, without an edge between them.

    Parameters
    ----------
    parts
        Of each slide, the rows of the table that its spots are, shape (n,), and its graph, shape
        (n, n).
    n_spots
        Rows of the table.
    """
    entries = [(rows, graph.tocoo()) for rows, graph in parts]
    i = np.concatenate([rows[graph.row] for rows, graph in entries])
    j = np.concatenate([rows[graph.col] for rows, graph in entries])
    values = np.concatenate([graph.data for _, graph in entries])
    return sp.csr_matrix((values, (i, j)), shape=(n_spots, n_spots))


def write_graph(
    table: AnnData, key: str, matrices: Mapping[str, sp.csr_matrix], *, params: Mapping[str, Any]
) -> None:
    """Write a graph, so that scanpy takes ``key`` for its ``neighbors_key``.

    Parameters
    ----------
    table, key
        Where to write, and the key in ``uns``.
    matrices
        What to write to ``obsp``: the connectivities first, then distances where there are new
        ones.
    params
        How the graph was made.
    """
    for name, matrix in matrices.items():
        table.obsp[name] = matrix
    table.uns[key] = {
        "connectivities_key": next(iter(matrices)),
        "distances_key": _keys.DISTANCES,
        "params": dict(params),
    }
