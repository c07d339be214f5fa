"""Public verb: the graph of neighbouring spots, through squidpy."""

from __future__ import annotations

from collections.abc import Mapping

from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import get_regions, get_table
from stflow._sdata.places import measured_centres
from stflow._sdata.written import join_graphs, require_new_graph, write_graph
from stflow._validation import require_count
from stflow.slide import knn_graph


def neighbors(
    data: SpatialData | AnnData,
    *,
    n_neighs: int = 8,
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

    Parameters
    ----------
    data
        Spots and the table that annotates them, or a table with ``.obsm["spatial"]``. Such a
        table alone is one sample: several, whose places overlap, go one by one, and to
        :func:`stflow.tl.fit` as a dict.
    n_neighs
        Number of neighbours k of a spot.
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
        The two keys and the parameters, the unit among them.

    Raises
    ------
    KeyError
        The table, the shapes, or the shape of some spots is missing.
    ValueError
        ``n_neighs`` is no whole number above zero, nothing tells the scale of the image, it is
        given where there is none, a coordinate is not finite, two spots share a place, or the
        spots are of several samples that lie on each other, or there is a graph.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.neighbors(sdata)
    """
    require_count(n_neighs, name="n_neighs")
    table = get_table(data, table_key)
    keys = (_keys.CONNECTIVITIES, _keys.DISTANCES)
    require_new_graph(table, *keys, overwrite=overwrite, where=f"Table {table_key!r}")
    regions = get_regions(table, shapes_key=shapes_key)
    centres, unit = measured_centres(data, table, regions, image_key=image_key, image_mpp=image_mpp)
    graphs = [knn_graph(each, int(n_neighs)) for each in centres]
    rows = [region.rows for region in regions]
    matrices = {
        key: join_graphs(list(zip(rows, parts, strict=True)), table.n_obs)
        for key, parts in zip(keys, zip(*graphs, strict=True), strict=True)
    }
    target = table if inplace else table.copy()
    params = {"n_neighbors": int(n_neighs), "unit": unit}
    write_graph(target, _keys.NEIGHBORS, matrices, params=params)
    return None if inplace else target
