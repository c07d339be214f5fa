"""Boundary: the element that a region annotates, shapes or labels, and its spots row by row."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pandas as pd
from geopandas import GeoDataFrame
from spatialdata import SpatialData
from spatialdata.transformations import get_transformation
from xarray import DataArray, DataTree

from stflow._sdata._build import circles
from stflow._validation import listing, require_key, require_unique

BLOCK = "32 MiB"


def annotated_element(sdata: SpatialData, name: str) -> GeoDataFrame | DataArray | DataTree:
    """Return the shapes or labels of that name.

    Raises
    ------
    KeyError
        There are none.
    ValueError
        They are points, which have no extent.
    """
    if name in sdata.labels:
        return sdata.labels[name]
    if name in sdata.points:
        raise ValueError(
            f"The table annotates points, {name!r}; spots are shapes or labels. Make circles of "
            f"them with `spatialdata.to_circles(sdata[{name!r}], radius=...)`, and relate the "
            "table to these with `sdata.set_table_annotates_spatialelement`."
        )
    require_key(name, [*sdata.shapes, *sdata.labels], what="shapes or labels element")
    return sdata.shapes[name]


def element_shapes(sdata: SpatialData, name: str) -> GeoDataFrame:
    """Return shapes of that name, or circles in place of labels; errors of `annotated_shapes`."""
    element = annotated_element(sdata, name)
    return element if isinstance(element, GeoDataFrame) else label_circles(element, name)


def annotated_shapes(sdata: SpatialData, name: str, instances: np.ndarray) -> GeoDataFrame:
    """Return the shapes of spots, in the order of their names; of labels, circles of their area.

    Parameters
    ----------
    sdata, name
        Where the element is, in whose own coordinates they are.
    instances
        Names of the spots in the element, shape (N,).

    Raises
    ------
    KeyError
        The element, or some of its spots, are missing.
    ValueError
        The element is neither shapes nor flat labels, or two of its spots share a name.
    """
    shapes = element_shapes(sdata, name)
    what = f"{'labels' if name in sdata.labels else 'shapes'} {name!r}"
    require_unique(list(shapes.index), what=f"spot names in {what}")
    at = shapes.index.get_indexer(instances)
    if (at < 0).any():
        lost = instances[at < 0]
        raise KeyError(
            f"{len(lost)} rows of the table have no spot in {what}: {listing(lost, limit=3)}."
        )
    return shapes.iloc[at]


def label_circles(labels: DataArray | DataTree, name: str) -> GeoDataFrame:
    """Return a circle for each label but 0, with its centroid and area, a block at a time.

    Raises
    ------
    ValueError
        The labels are not flat, or there are none.
    """
    finest = _finest(labels)
    if finest.dims != ("y", "x"):
        raise ValueError(f"Labels {name!r} have the axes {finest.dims}; spots need flat ones.")
    blocks = da.asarray(finest.data).rechunk("auto", block_size_limit=BLOCK)
    corners = [np.cumsum([0, *sizes[:-1]]) for sizes in blocks.chunks]
    parts = [
        dask.delayed(_moments)(block, top, left)
        for top, row in zip(corners[0], blocks.to_delayed(), strict=True)
        for left, block in zip(corners[1], row, strict=True)
    ]
    sums = pd.concat(dask.compute(*parts)).groupby(level=0).sum()
    if sums.empty:
        raise ValueError(f"Labels {name!r} hold nothing but background.")
    return circles(
        sums[["x", "y"]].to_numpy() / sums[["n"]].to_numpy(),
        np.sqrt(sums["n"].to_numpy() / np.pi),
        sums.index,
        transformations=get_transformation(labels, get_all=True),
    )


def _finest(labels: DataArray | DataTree) -> DataArray:
    if isinstance(labels, DataArray):
        return labels
    scales = [next(iter(scale.ds.data_vars.values())) for scale in labels.children.values()]
    return max(scales, key=lambda array: array.sizes["x"])


def _moments(block: np.ndarray, top: int, left: int) -> pd.DataFrame:
    """Pixels of each label in a block, and the sums of where their middles lie."""
    y, x = np.nonzero(block)
    codes, names = pd.factorize(block[y, x])
    places = {"x": x + left + 0.5, "y": y + top + 0.5}
    sums = {axis: np.bincount(codes, place, len(names)) for axis, place in places.items()}
    return pd.DataFrame({"n": np.bincount(codes, minlength=len(names)), **sums}, index=names)
