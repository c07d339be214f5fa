"""Public verb: the graph of neighbouring spots, through squidpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import copied, get_regions, get_table
from stflow._sdata.places import LATTICES, Lattice, measured_centres
from stflow._sdata.written import join_graphs, require_new_graph, write_graph
from stflow._validation import require_choice, require_count, require_positive
from stflow.slide import knn_graph, lattice_graph


def neighbors(
    data: SpatialData | AnnData,
    *,
    n_neighs: int = 8,
    pitch_um: float | None = None,
    lattice: Lattice = "hex",
    image_key: str | Mapping[str, str] | None = None,
    image_mpp: float | Mapping[str, float] | None = None,
    shapes_key: str | None = None,
    table_key: str = _keys.TABLE,
    overwrite: bool = False,
    inplace: bool = True,
) -> AnnData | None:
    """Find the nearest spots of each spot.

    The rows of the table are matched to their spots by name, each region is a slide of its own,
    and a slide of ``n_neighs`` spots or fewer gets as many neighbours as there are. Spots as far
    as the last neighbour, to one part in a thousand, are neighbours too: on a lattice the choice
    among them would depend on rounding.

    A model knows spots of one pitch. To read it on a finer grid, on bins or on cells, pass the
    pitch that it was trained at as ``pitch_um``: neighbours are then chosen there, so that what a
    spot is told of its surroundings does not depend on how dense the spots are.

    Parameters
    ----------
    data
        Spots and the table that annotates them, or a table with ``.obsm["spatial"]``. Such a
        table alone is one sample: several, whose places overlap, go one by one, and to
        :func:`stflow.tl.fit` as a dict.
    n_neighs
        Number of neighbours k of a spot.
    pitch_um
        Distance between neighbours in micrometres: a lattice of that pitch is laid around each
        spot, and at each of its places stands the nearest spot, if one is there. ``model.pitch_um``
        is that of a model. None: the nearest spots, however near.
    lattice
        The lattice of ``pitch_um``: ``"hex"`` as on Visium, or ``"square"`` as on first-generation
        arrays and of bins. It is turned as the spots lie.
    image_key
        The image whose scale gives micrometres. None: the only one.
    image_mpp
        Its micrometres per pixel. None: as :func:`stflow.pp.embed` finds it.
    shapes_key
        The spots. None: those that the table annotates.
    table_key
        Name of the table.
    overwrite
        Whether to replace a graph that is there.
    inplace
        Whether to write to the table or return a copy of it with the graph.

    Returns
    -------
    None, or the copy of the table when not ``inplace``. Writes to the table what squidpy would:

    ``.obsp["spatial_connectivities"]``
        1 where column j is a neighbour of row i, shape (N, N).
    ``.obsp["spatial_distances"]``
        Their distance in micrometres, or in units of ``.obsm["spatial"]`` (of the shapes) where
        there is no image, or the table annotates no shapes that lie on one.
    ``.uns["spatial_neighbors"]``
        The two keys and the parameters, the unit among them, and pitch and lattice where given.

    Raises
    ------
    KeyError
        The table, the shapes, or the shape of some spots is missing.
    ValueError
        ``n_neighs`` is no whole number above zero, nothing tells the scale of the image, it or
        ``pitch_um`` is given where there is none, a coordinate is not finite, two spots share a
        place, no two spots lie a pitch apart, the spots are of several samples that lie on each
        other, or there is a graph.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.neighbors(sdata)

    A grid of 50 um for a model of spots that are 200 um apart:

    >>> stf.pp.grid(sdata, 50, lattice="square", tissue_key=None, overwrite=True)
    >>> stf.pp.neighbors(sdata, pitch_um=200, lattice="square")
    """
    require_count(n_neighs, name="n_neighs")
    require_choice(lattice, LATTICES, name="lattice")
    if pitch_um is not None:
        require_positive(pitch_um, name="pitch_um")
    table = get_table(data, table_key)
    keys = (_keys.CONNECTIVITIES, _keys.DISTANCES)
    require_new_graph(table, *keys, overwrite=overwrite, where=f"Table {table_key!r}")
    regions = get_regions(table, shapes_key=shapes_key)
    centres, unit = measured_centres(data, table, regions, image_key=image_key, image_mpp=image_mpp)
    params: dict[str, Any] = {"n_neighbors": int(n_neighs), "unit": unit}
    if pitch_um is None:
        graphs = [knn_graph(each, int(n_neighs)) for each in centres]
    else:
        params |= {"pitch_um": float(pitch_um), "lattice": lattice}
        graphs = _at_pitch(centres, params)
    rows = [region.rows for region in regions]
    matrices = {
        key: join_graphs(list(zip(rows, parts, strict=True)), table.n_obs)
        for key, parts in zip(keys, zip(*graphs, strict=True), strict=True)
    }
    target = table if inplace else copied(table)
    write_graph(target, _keys.NEIGHBORS, matrices, params=params)
    return None if inplace else target


def _at_pitch(
    centres: Sequence[np.ndarray], params: Mapping[str, Any]
) -> list[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """Find neighbours at a pitch in micrometres, in each slide."""
    pitch, lattice = params["pitch_um"], params["lattice"]
    if params["unit"] != "um":
        raise ValueError(
            "`pitch_um=` is in micrometres, but the spots lie on no image, so nothing tells how "
            "long one is. Pass a SpatialData whose table annotates shapes on an image."
        )
    graphs = [
        lattice_graph(each, pitch, lattice=lattice, n_neighs=params["n_neighbors"])
        for each in centres
    ]
    if not any(graph.nnz for graph, _ in graphs):
        raise ValueError(
            f"No two of {sum(map(len, centres))} spots lie {pitch:g} um apart. Pass a smaller "
            "`pitch_um=`, or check `image_mpp=`."
        )
    return graphs
