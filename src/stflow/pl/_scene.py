"""Boundary: what a map shows of a slide, in memory: a coarse image, the spots and their scale."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from geopandas import GeoDataFrame
from scipy.spatial import KDTree
from spatialdata import SpatialData, bounding_box_query, get_extent, transform
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import (
    BaseTransformation,
    Scale,
    Sequence,
    get_transformation,
)
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._sdata._annotated import annotated_shapes
from stflow._sdata._images import colour_channels, resolve_image
from stflow._sdata._placed import spots_on_image
from stflow._sdata._tables import Region, get_regions
from stflow._validation import listing, require_key

_AXES = ("x", "y")
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


def read_scene(
    sdata: SpatialData,
    table: AnnData,
    *,
    image_key: str | None,
    image_mpp: float | None,
    shapes_key: str | None,
    coordinate_system: str,
    n_pixels: int,
) -> Scene:
    """Read the image around a table's spots, some ``n_pixels`` along its longer side.

    Raises
    ------
    KeyError
        The image, the spots or their place in the coordinate system are missing, or there are
        several to choose from.
    ValueError
        The table annotates no element, two spots share a name, or the spots do not lie on the
        image.
    """
    region = _region(table, shapes_key)
    spots = _spots(sdata, region)
    image_key = resolve_image(sdata, image_key, region=region.name)
    image = sdata.images[image_key]
    coordinate_system = _system(image, spots, coordinate_system)
    image_place = _place(image, coordinate_system, image_key)
    spots_place = _place(spots, coordinate_system, region.name)
    extent = get_extent(spots, coordinate_system=coordinate_system)
    low, high = (np.array([extent[axis][end] for axis in _AXES], dtype=float) for end in (0, 1))
    margin = _MARGIN * float((high - low).max())
    low, high = low - margin, high + margin
    spots.attrs = {}
    placed = ShapesModel.parse(spots, transformations={_keys.COORDINATE_SYSTEM: spots_place})
    mpp = _um_per_pixel(sdata, table, region, image_key, image_mpp)
    affine = image_place.to_affine_matrix(_AXES, _AXES)
    return Scene(
        image=_coarse_crop(image, low, high, coordinate_system, n_pixels, image_key),
        spots=placed,
        rows=region.rows,
        window=(*low, *high),
        um_per_unit=mpp and mpp / math.sqrt(abs(np.linalg.det(affine[:2, :2]))),
        spot_scale=_spot_scale(placed, _LEAST_SPOT * float((high - low).max())),
    )


def _region(table: AnnData, shapes_key: str | None) -> Region:
    """Return the region called ``shapes_key``, or the only one."""
    regions = get_regions(table, shapes_key=shapes_key)
    if len(regions) > 1:
        names = [region.name for region in regions]
        raise KeyError(f"Pass `shapes_key=`, one of the annotated elements: {listing(names)}.")
    if not regions[0].name:
        raise ValueError(
            "The table annotates no element, so its spots lie on no image; relate it to shapes "
            "with spatialdata.models.TableModel.parse."
        )
    return regions[0]


def _spots(sdata: SpatialData, region: Region) -> GeoDataFrame:
    """Return a copy of the region's spots, in the order of the table's rows."""
    return annotated_shapes(sdata, region.name, region.instances).copy()


def _spot_scale(spots: GeoDataFrame, least: float) -> float:
    """Enlarge spots to ``least`` units across, but at most until they touch, and never shrink."""
    shown = transform(spots, to_coordinate_system=_keys.COORDINATE_SYSTEM)
    area = math.pi * shown["radius"] ** 2 if "radius" in shown else shown.geometry.area
    across = 2.0 * math.sqrt(float(area.median()) / math.pi)
    centres = shown.geometry.centroid
    points = np.column_stack([centres.x, centres.y])
    apart = KDTree(points).query(points, k=2)[0][:, 1]
    return max(1.0, min(least, float(np.median(apart))) / across)


def _system(image: DataArray | DataTree, spots: GeoDataFrame, wanted: str) -> str:
    """Return the wanted coordinate system, or for the default the first that both are in."""
    known = get_transformation(image, get_all=True)
    shared = [name for name in get_transformation(spots, get_all=True) if name in known]
    if wanted == _keys.COORDINATE_SYSTEM and shared and wanted not in shared:
        return shared[0]
    return wanted


def _place(
    element: DataArray | DataTree | GeoDataFrame, coordinate_system: str, name: str
) -> BaseTransformation:
    places = get_transformation(element, get_all=True)
    hint = "Name one with `coordinate_system=`."
    require_key(coordinate_system, places, what=f"coordinate system of {name!r}", hint=hint)
    return places[coordinate_system]


def _coarse_crop(
    image: DataArray | DataTree,
    low: np.ndarray,
    high: np.ndarray,
    coordinate_system: str,
    n_pixels: int,
    name: str,
) -> DataArray:
    """Load the part of the image between two corners from its smallest level that is enough."""
    crop = bounding_box_query(
        image,
        axes=_AXES,
        min_coordinate=low,
        max_coordinate=high,
        target_coordinate_system=coordinate_system,
    )
    if crop is None:
        raise ValueError(
            f"The spots do not lie on image {name!r} in coordinate system {coordinate_system!r}."
        )
    levels = [crop]
    if isinstance(crop, DataTree):
        levels = [next(iter(crop[scale].data_vars.values())) for scale in crop]
    enough = [level for level in levels if max(level.shape[-2:]) >= n_pixels]
    level = min(enough or levels[:1], key=lambda level: level.sizes["x"])
    place = get_transformation(level, coordinate_system)
    step = max(1, min(max(level.shape[-2:]) // n_pixels, *level.shape[-2:]))
    colours = colour_channels(level)
    small = colours.coarsen(y=step, x=step, boundary="trim").mean().astype(level.dtype)
    channels = ["r", "g", "b"] if small.sizes["c"] == 3 else small.coords["c"].values.tolist()
    return Image2DModel.parse(
        small.compute().to_numpy(),
        dims=("c", "y", "x"),
        c_coords=channels,
        transformations={_keys.COORDINATE_SYSTEM: Sequence([Scale([step, step], _AXES), place])},
    )


def _um_per_pixel(
    sdata: SpatialData, table: AnnData, region: Region, image_key: str, image_mpp: float | None
) -> float | None:
    """Micrometres in a pixel of the image; a warning and None when nothing tells."""
    try:
        placed = spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp)
    except ValueError as error:
        warnings.warn(f"No scale bar. {error}", stacklevel=4)
        return None
    return placed.mpp
