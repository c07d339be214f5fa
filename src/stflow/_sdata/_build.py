"""Boundary: from pyramids, spot centres and counts to the elements that stflow works on."""

from __future__ import annotations

from collections.abc import Sequence

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import Identity
from xarray import DataTree

from stflow import _keys
from stflow.images._raster import CHUNK, count_halvings


def build_slide(
    levels: Sequence[da.Array], table: AnnData, *, radius: float, mpp: float, technology: str
) -> SpatialData:
    """Put an image, its spots and their counts into one SpatialData.

    Parameters
    ----------
    levels
        RGB image, shape (3, height, width), and its halvings. Those that are missing are averaged
        from the image when they are read.
    table
        Raw counts with the spot centres in ``.obsm["spatial"]``, in pixels of the image. It is
        completed in place with what ties its rows to the spots.
    radius
        Radius of the spots in pixels.
    mpp
        Micrometres per pixel.
    technology
        What made the spots: ``"st"``, ``"visium"`` or ``"synthetic"``.

    Returns
    -------
    Slide with a multiscale image, circles, and the table that annotates them.
    """
    annotated = annotate(table)
    x_y = np.asarray(table.obsm[_keys.SPATIAL])
    return SpatialData(
        images={_keys.IMAGE: image_element(levels)},
        shapes={_keys.SPOTS: circles(x_y, radius, table.obs_names.to_numpy())},
        tables={_keys.TABLE: annotated},
        attrs={_keys.SLIDE_PROPERTIES: {"mpp": float(mpp), "technology": technology}},
    )


def image_element(levels: Sequence[da.Array]) -> DataTree:
    """Make a multiscale RGB image, in pixels of its first level.

    Parameters
    ----------
    levels
        The image, shape (3, height, width), and its halvings. Those that are missing are averaged
        from the image when they are read.
    """
    tree = Image2DModel.parse(
        levels[0],
        dims=("c", "y", "x"),
        c_coords=["r", "g", "b"],
        scale_factors=[2] * count_halvings(*levels[0].shape[1:]),
        chunks=(3, CHUNK, CHUNK),
        transformations={_keys.COORDINATE_SYSTEM: Identity()},
    )
    for number, level in enumerate(levels):
        tree[f"scale{number}"]["image"].data = level
    return tree


def circles(centres: np.ndarray, radius: float, names: np.ndarray) -> gpd.GeoDataFrame:
    """Make a shapes element of spots.

    Parameters
    ----------
    centres
        In pixels, x then y, shape (N, 2).
    radius
        In pixels.
    names
        Index of the element, shape (N,).
    """
    x, y = centres.T
    spots = gpd.GeoDataFrame(
        {"radius": np.full(len(centres), float(radius))},
        geometry=gpd.points_from_xy(x, y),
        index=names,
    )
    return ShapesModel.parse(spots, transformations={_keys.COORDINATE_SYSTEM: Identity()})


def annotate(table: AnnData) -> AnnData:
    """Complete a table in place with what ties its rows, by their names, to the spots."""
    table.obs["region"] = pd.Categorical([_keys.SPOTS] * table.n_obs)
    table.obs["spot_id"] = table.obs_names.to_numpy()
    return TableModel.parse(table, region=_keys.SPOTS, region_key="region", instance_key="spot_id")
