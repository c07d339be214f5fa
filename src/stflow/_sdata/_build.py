"""Boundary: from pyramids, spot centres and counts to the elements that stflow works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, Labels2DModel, ShapesModel, TableModel
from spatialdata.transformations import BaseTransformation, Identity, set_transformation
from xarray import DataArray, Dataset, DataTree

from stflow import _keys
from stflow.images.files import complete

PIXELS = {_keys.COORDINATE_SYSTEM: Identity()}


def build_slide(
    levels: Sequence[da.Array],
    table: AnnData,
    *,
    mpp: float,
    technology: str,
    radius: float | np.ndarray | None = None,
    shapes: Mapping[str, gpd.GeoDataFrame] | None = None,
    properties: Mapping[str, Any] | None = None,
) -> SpatialData:
    """Put an image, its spots and their counts into one SpatialData.

    Parameters
    ----------
    levels
        RGB image, shape (3, height, width), and coarser ones. Those that are missing are averaged
        from the last when they are read.
    table
        Raw counts with the spot centres in ``.obsm["spatial"]``, in pixels of the image. It is
        completed in place with what ties its rows to the spots.
    mpp
        Micrometres per pixel.
    technology
        What made the spots: ``"st"``, ``"visium"``, ``"visium_hd"``, ``"xenium"`` or
        ``"synthetic"``.
    radius
        Radius of the spots in pixels, one for all or shape (N,). None: ``shapes`` has the spots.
    shapes
        What lies on the image beside the circles, or in place of them.
    properties
        What else to keep in ``attrs["slide_properties"]``.

    Returns
    -------
    Slide with a multiscale image, spots, and the table that annotates them.
    """
    annotated = annotate(table)
    held = dict(shapes or {})
    if radius is not None:
        x_y = np.asarray(table.obsm[_keys.SPATIAL])
        held[_keys.SPOTS] = circles(x_y, radius, table.obs_names.to_numpy())
    return SpatialData(
        images={_keys.IMAGE: image_element(levels)},
        shapes=held,
        tables={_keys.TABLE: annotated},
        attrs={
            _keys.SLIDE_PROPERTIES: {
                "mpp": float(mpp),
                "shape": [int(side) for side in levels[0].shape[1:]],
                "technology": technology,
                **(properties or {}),
            }
        },
    )


def table_of_spots(centres: np.ndarray, names: np.ndarray, *, region: str) -> AnnData:
    """Make a table without genes, a row for each spot of an element.

    Parameters
    ----------
    centres
        In full-resolution pixels, x then y, shape (N, 2).
    names
        Index of the element, shape (N,).
    region
        Name of the element.
    """
    table = AnnData(obs=pd.DataFrame(index=names), obsm={_keys.SPATIAL: centres})
    return annotate(table, region=region)


def image_element(
    levels: Sequence[da.Array],
    *,
    transformations: Mapping[str, BaseTransformation] = PIXELS,
) -> DataTree:
    """Make a multiscale RGB image, in pixels of its first level.

    Parameters
    ----------
    levels
        The image, shape (3, height, width), and coarser ones. Those that are missing are averaged
        from the last when they are read.
    transformations
        To each coordinate system.
    """
    _, height, width = levels[0].shape
    scales = {}
    for number, level in enumerate(complete(levels)):
        y, x = (
            (np.arange(n) + 0.5) * (extent / n)
            for n, extent in zip(level.shape[1:], (height, width), strict=True)
        )
        coords = {"c": ["r", "g", "b"], "y": y, "x": x}
        image = DataArray(level, dims=("c", "y", "x"), coords=coords)
        scales[f"scale{number}"] = Dataset({"image": image})
    tree = DataTree.from_dict(scales)
    set_transformation(tree, dict(transformations), set_all=True)
    Image2DModel().validate(tree)
    return tree


def picture(*levels: np.ndarray | da.Array, tissue: np.ndarray | None = None) -> SpatialData:
    """Make a SpatialData of an image alone, as functions of squidpy take it.

    Parameters
    ----------
    levels
        The image, shape (3, height, width), and coarser ones.
    tissue
        Labels of its tissue, shape (height, width) of the last level.
    """
    arrays = [Image2DModel.parse(level, dims="cyx") for level in levels]
    scales = {f"scale{i}": Dataset({"image": each}) for i, each in enumerate(arrays)}
    labels = {}
    if tissue is not None:
        labels[_keys.TISSUE] = Labels2DModel.parse(tissue.astype(np.int32), dims="yx")
    image = arrays[0] if len(arrays) == 1 else DataTree.from_dict(scales)
    return SpatialData(images={_keys.IMAGE: image}, labels=labels)


def circles(
    centres: np.ndarray,
    radius: float | np.ndarray,
    names: np.ndarray,
    *,
    transformations: Mapping[str, BaseTransformation] = PIXELS,
) -> gpd.GeoDataFrame:
    """Make a shapes element of spots.

    Parameters
    ----------
    centres
        In pixels, x then y, shape (N, 2).
    radius
        In pixels, one for all or shape (N,).
    names
        Index of the element, shape (N,).
    transformations
        To each coordinate system.
    """
    x, y = centres.T
    spots = gpd.GeoDataFrame(
        {"radius": np.full(len(centres), radius, dtype=np.float64)},
        geometry=gpd.points_from_xy(x, y),
        index=names,
    )
    return ShapesModel.parse(spots, transformations=dict(transformations))


def annotate(table: AnnData, *, region: str = _keys.SPOTS) -> AnnData:
    """Complete a table in place with what ties its rows, by their names, to the spots."""
    table.obs["region"] = pd.Categorical.from_codes([0] * table.n_obs, pd.Index([region]))
    table.obs["spot_id"] = table.obs_names.to_numpy()
    return TableModel.parse(table, region=region, region_key="region", instance_key="spot_id")
