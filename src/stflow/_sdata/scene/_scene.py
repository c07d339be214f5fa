"""Boundary: what a map shows of a slide, in memory: a coarse image, the spots and their scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from geopandas import GeoDataFrame
from scipy.spatial import KDTree
from spatialdata import SpatialData, transform
from spatialdata.models import TableModel
from xarray import DataArray

from stflow import _keys
from stflow._sdata.scene._stage import Stage, corners

_MARGIN = 0.03
_LEAST_SPOT = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The part of a slide that its spots cover.

    Parameters
    ----------
    image
        Coarse H&E, in memory, placed in the scene's only coordinate system.
    spots
        The spots, in the order of ``rows``, placed in the same.
    rows
        The rows of the table that the spots are, shape (N,).
    window
        Least x, least y, greatest x, greatest y of what to show.
    um_per_unit
        Micrometres in one unit of the coordinate system, or None when unknown.
    spot_scale
        Factor by which to enlarge the spots so that they can be seen.
    """

    image: DataArray
    spots: GeoDataFrame
    rows: np.ndarray
    window: tuple[float, float, float, float]
    um_per_unit: float | None
    spot_scale: float

    def with_values(self, values: pd.DataFrame) -> SpatialData:
        """Return a temporary SpatialData whose table holds the columns of ``values``."""
        obs = pd.DataFrame({"region": pd.Categorical([_keys.SPOTS] * len(self.spots))})
        obs["spot_id"] = self.spots.index.to_numpy()
        obs.index = obs.index.astype(str)
        table = AnnData(values.to_numpy(), obs=obs, var=pd.DataFrame(index=values.columns))
        table = TableModel.parse(
            table, region=_keys.SPOTS, region_key="region", instance_key="spot_id"
        )
        return SpatialData(
            images={_keys.IMAGE: self.image},
            shapes={_keys.SPOTS: self.spots},
            tables={_keys.TABLE: table},
        )


def image_alone(image: DataArray) -> SpatialData:
    """Return a temporary SpatialData of an image of a scene."""
    return SpatialData(images={_keys.IMAGE: image})


def read_scene(stage: Stage, *, n_pixels: int) -> Scene:
    """Read the image around the spots, some ``n_pixels`` along its longer side.

    Raises
    ------
    ValueError
        The spots do not lie on the image.
    """
    low, high = corners(stage.spots, _keys.COORDINATE_SYSTEM)
    margin = _MARGIN * float((high - low).max())
    low, high = low - margin, high + margin
    image = stage.crop(low, high, n_pixels)
    if image is None:
        raise ValueError(
            f"The spots do not lie on image {stage.image_key!r} in coordinate system "
            f"{stage.system!r}; look at `stf.pl.spots(sdata)`."
        )
    return Scene(
        image=image,
        spots=stage.spots,
        rows=stage.rows,
        window=(*low, *high),
        um_per_unit=stage.um_per_unit,
        spot_scale=_spot_scale(stage.spots, _LEAST_SPOT * float((high - low).max())),
    )


def _spot_scale(spots: GeoDataFrame, least: float) -> float:
    """Enlarge spots to ``least`` units across, but at most until they touch, and never shrink."""
    shown = transform(spots, to_coordinate_system=_keys.COORDINATE_SYSTEM)
    area = math.pi * shown["radius"] ** 2 if "radius" in shown else shown.geometry.area
    across = 2.0 * math.sqrt(float(area.median()) / math.pi)
    centres = shown.geometry.centroid
    points = np.column_stack([centres.x, centres.y])
    apart = KDTree(points).query(points, k=2)[0][:, 1]
    return max(1.0, min(least, float(np.median(apart))) / across)
