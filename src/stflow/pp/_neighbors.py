"""Public verb: the graph of neighbouring spots, through squidpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData

from stflow import _keys
from stflow._sdata import Region, get_regions, get_table, spot_centres
from stflow._sdata.places import spot_centres_um
from stflow._validation import require_count, require_places
from stflow.slide import knn_graph


def neighbors(
    data: SpatialData | AnnData,
    *,
    n_neighs: int = 8,
    image_key: str | Mapping[str, str] | None = None,
    image_mpp: float | Mapping[str, float] | None = None,
    shapes_key: str | None = None,
    table_key: str = _keys.TABLE,
    inplace: bool = True,
) -> tuple[sp.csr_matrix, sp.csr_matrix] | None:
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
    inplace
        Whether to write to the table or return the two matrices.

    Returns
    -------
    None, or connectivities and distances when not ``inplace``. Writes to the table what squidpy
    would, replacing an earlier graph:

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
        spots are of several samples that lie on each other.

    Examples
    --------
    >>> import stflow as stf
    >>> sdata = stf.datasets.synthetic()["S1"]
    >>> stf.pp.neighbors(sdata)
    """
    require_count(n_neighs, name="n_neighs")
    table = get_table(data, table_key)
    regions = get_regions(table, shapes_key=shapes_key)
    in_um = isinstance(data, SpatialData) and len(data.images) > 0 and regions[0].name != ""
    if not in_um and (image_key is not None or image_mpp is not None):
        raise ValueError(
            "`image_key=` and `image_mpp=` are of an image, but the spots lie on none, so their "
            "distances are in units of their coordinates. Pass a SpatialData whose table annotates "
            "shapes on an image, or leave them out."
        )
    graphs = []
    for region in regions:
        if in_um:
            coords = spot_centres_um(data, table, region, image_key=image_key, image_mpp=image_mpp)
        else:
            coords = spot_centres(data, table, region)
        require_places(coords, what=f"spots of {region.name}" if region.name else "spots")
        graphs.append((region, *knn_graph(coords, int(n_neighs))))
    connectivities, distances = (
        _scatter([(graph[0], graph[i]) for graph in graphs], table.n_obs) for i in (1, 2)
    )
    if not inplace:
        return connectivities, distances
    table.obsp[_keys.CONNECTIVITIES] = connectivities
    table.obsp[_keys.DISTANCES] = distances
    table.uns[_keys.NEIGHBORS] = {
        "connectivities_key": _keys.CONNECTIVITIES,
        "distances_key": _keys.DISTANCES,
        "params": {"n_neighbors": int(n_neighs), "unit": "um" if in_um else "coordinates"},
    }
    return None


def _scatter(parts: list[tuple[Region, sp.csr_matrix]], n_obs: int) -> sp.csr_matrix:
    """Put the graphs of several regions into one matrix over the rows of the table."""
    entries = [(region.rows, graph.tocoo()) for region, graph in parts]
    rows = np.concatenate([at[graph.row] for at, graph in entries])
    columns = np.concatenate([at[graph.col] for at, graph in entries])
    values = np.concatenate([graph.data for _, graph in entries])
    return sp.csr_matrix((values, (rows, columns)), shape=(n_obs, n_obs))
