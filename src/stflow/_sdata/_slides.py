"""Boundary: tables in, slides out. One path for slides with and without expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata._annotated import annotated_element
from stflow._sdata._names import by_text
from stflow._sdata._systems import choose_system, matrix_of, moved, place_in, places_of
from stflow._sdata._tables import (
    Region,
    get_regions,
    get_table,
    lies_on_element,
    slide_names,
    spot_centres,
)
from stflow._sdata.expression import Counting, read_measured
from stflow._validation import require_finite, require_key, require_places
from stflow.slide import PickedRows, Slide, row_blocks

Data: TypeAlias = SpatialData | AnnData
NEEDS_EMBEDDING = "Run `stf.pp.embed(sdata)` first, or name another with `embedding_key=`."
NEEDS_GRAPH = "Run `stf.pp.neighbors(sdata)` first."


def as_mapping(data: Data | Mapping[str, Data]) -> dict[str, Data]:
    """Return slides by name; a single one is called ``"slide"``.

    Raises
    ------
    TypeError
        Several slides come without names, or a name is neither text nor a whole number.
    ValueError
        There are no slides, or a name is empty or occurs twice.
    """
    if isinstance(data, list | tuple):
        raise TypeError(
            f"`data` is a {type(data).__name__}; pass several slides as a dict, by name."
        )
    slides = by_text(data) if isinstance(data, Mapping) else {"slide": data}
    if not slides:
        raise ValueError("`data` is an empty dict; pass at least one slide.")
    return slides


def read_slides(
    data: Data,
    *,
    name: str,
    table_key: str,
    embedding_key: str,
    coordinate_system: str,
    shapes_key: str | None = None,
    genes: Sequence[str] | None = None,
    auxiliary: Sequence[str] = (),
    counting: Counting | None = None,
) -> list[Slide]:
    """Read the slides of one SpatialData or table: one for each region that the table annotates.

    Parameters
    ----------
    data, name
        The data, and what messages call it.
    table_key, embedding_key, coordinate_system, shapes_key
        Where to look. Of shapes that are not in ``"global"``, the default, the first coordinate
        system is taken.
    genes, auxiliary
        Genes whose expression to read, and others that training may learn from. None: read no
        expression.
    counting
        How counts become expression.

    Raises
    ------
    KeyError
        The table, embedding, graph, layer, coordinate system, some genes or some spots are
        missing.
    ValueError
        The embedding or a coordinate is not finite, two spots share a place, the graph has no
        edges, or the counts are not raw counts.
    """
    table = get_table(data, table_key, name=name)
    where = f"table {table_key!r} of {name}"
    require_key(
        embedding_key, table.obsm, what=f"embedding in obsm of {where}:", hint=NEEDS_EMBEDDING
    )
    require_key(
        _keys.CONNECTIVITIES, table.obsp, what=f"graph in obsp of {where}:", hint=NEEDS_GRAPH
    )
    embedding = _embedding(table.obsm[embedding_key], f"{embedding_key!r} of {where}")
    graph = sp.csr_matrix(table.obsp[_keys.CONNECTIVITIES])
    measured: dict[str, Any] = {}
    if genes is not None:
        measured = _measured(table, genes, auxiliary, counting or Counting(), where)
    regions = get_regions(table, shapes_key=shapes_key)
    slides = []
    for slide_name, region in zip(slide_names(name, regions), regions, strict=True):
        every = len(region.rows) == table.n_obs and bool((np.diff(region.rows) == 1).all())
        rows = slice(None) if every else region.rows
        slide = Slide(
            name=slide_name,
            coords=_coords(data, table, region, coordinate_system),
            graph=graph if every else graph[rows][:, rows],
            embedding=embedding if every else PickedRows(embedding, region.rows),
            rows=region.rows,
            genes=tuple(genes or ()),
            units=(counting or Counting()).units,
            **{part: values[rows] for part, values in measured.items()},
        )
        require_places(slide.coords, what=f"spots of {slide.name}")
        if slide.n_spots > 1 and slide.graph.nnz == 0:
            raise ValueError(f"The graph of {slide.name} has no edges. {NEEDS_GRAPH}")
        slides.append(slide)
    return slides


def _measured(
    table: AnnData,
    genes: Sequence[str],
    auxiliary: Sequence[str],
    counting: Counting,
    where: str,
) -> dict[str, np.ndarray]:
    """Read expression and totals of all spots."""
    found = read_measured(table, [*genes, *auxiliary], counting, where=where)
    expression = np.empty((table.n_obs, len(genes)), dtype=np.float32)
    others = np.empty((table.n_obs, len(auxiliary)), dtype=np.float32)
    for rows, block in found.blocks():
        expression[rows], others[rows] = np.split(block, [len(genes)], axis=1)
    parts = {"expression": expression, "totals": found.totals}
    return {**parts, "auxiliary": others} if auxiliary else parts


def _embedding(values: Any, what: str) -> Any:
    """Check an embedding block by block, and leave it where it is: in memory or on disk."""
    embedding: Any = values.to_numpy() if isinstance(values, pd.DataFrame) else values
    embedding = embedding.toarray() if sp.issparse(embedding) else embedding
    if len(embedding.shape) != 2 or embedding.shape[1] == 0:
        raise ValueError(f"Embedding {what} has shape {embedding.shape}, not (spots, width).")
    for _, block in row_blocks(embedding):
        require_finite(block, what=f"Embedding {what}")
    return embedding


def _coords(data: Data, table: AnnData, region: Region, coordinate_system: str) -> np.ndarray:
    centres = spot_centres(data, table, region)
    if not lies_on_element(data, region):
        return centres
    places = places_of(annotated_element(data, region.name))
    system = choose_system(list(places), coordinate_system)
    return moved(centres, matrix_of(place_in(places, system, region.name)))
