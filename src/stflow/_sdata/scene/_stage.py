"""Boundary: an image and the spots that lie on it, in one coordinate system."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from geopandas import GeoDataFrame
from spatialdata import bounding_box_query, get_extent, transform
from spatialdata.models import Image2DModel, ShapesModel
from spatialdata.transformations import BaseTransformation, Scale, Sequence, get_transformation
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._sdata._images import colour_channels
from stflow._sdata._systems import AXES, Element, matrix_of, moved, side_of_unit


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Where an image and its spots lie; no pixel is read yet.

    Parameters
    ----------
    image_key, image, size_px
        The image, its name, and its width and height in full-resolution pixels.
    system
        The coordinate system that it shares with the spots.
    spots
        The spots, in the order of ``rows``, placed in the only coordinate system of a scene.
    rows
        The rows of the table that the spots are, shape (N,); of spots without a table, none.
    obs
        What the table says of them, a row for each; empty without a table.
    mpp
        Micrometres per full-resolution pixel, or None when unknown.
    """

    image_key: str
    image: DataArray | DataTree
    size_px: tuple[int, int]
    system: str
    spots: GeoDataFrame
    rows: np.ndarray
    obs: pd.DataFrame
    mpp: float | None

    @property
    def pixels_to_units(self) -> np.ndarray:
        """3 x 3 matrix from full-resolution pixels to the coordinate system."""
        return matrix_of(get_transformation(self.image, self.system))

    @property
    def units_per_pixel(self) -> float:
        """Units of the coordinate system in one full-resolution pixel."""
        return side_of_unit(self.pixels_to_units)

    @property
    def um_per_unit(self) -> float | None:
        """Micrometres in one unit of the coordinate system, or None when unknown."""
        return self.mpp and self.mpp / self.units_per_pixel

    @property
    def centres(self) -> np.ndarray:
        """Middles of the spots in the coordinate system, shape (N, 2)."""
        own = self.spots.geometry.centroid
        place = get_transformation(self.spots, _keys.COORDINATE_SYSTEM)
        return moved(np.column_stack([own.x, own.y]), matrix_of(place))

    @property
    def centres_px(self) -> np.ndarray:
        """Middles of the spots in full-resolution pixels, shape (N, 2)."""
        return moved(self.centres, np.linalg.inv(self.pixels_to_units))

    def image_corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest x and y of the image."""
        return corners(self.image, self.system)

    def crop(self, low: np.ndarray, high: np.ndarray, n_pixels: int) -> DataArray | None:
        """Load what lies between two corners, some ``n_pixels`` along its longer side.

        It is read from the smallest level that is enough; None where there is no image.
        """
        crop = bounding_box_query(
            self.image,
            axes=AXES,
            min_coordinate=low,
            max_coordinate=high,
            target_coordinate_system=self.system,
        )
        if crop is None:
            return None
        levels = [crop]
        if isinstance(crop, DataTree):
            levels = [next(iter(crop[scale].data_vars.values())) for scale in crop]
        enough = [level for level in levels if max(level.shape[-2:]) >= n_pixels]
        level = min(enough or levels[:1], key=lambda level: level.sizes["x"])
        step = max(1, min(max(level.shape[-2:]) // n_pixels, *level.shape[-2:]))
        colours = colour_channels(level)
        small = colours.coarsen(y=step, x=step, boundary="trim").mean().astype(level.dtype)
        channels = ["r", "g", "b"] if small.sizes["c"] == 3 else small.coords["c"].values.tolist()
        place = Sequence([Scale([step, step], AXES), get_transformation(level, self.system)])
        return Image2DModel.parse(
            small.compute().to_numpy(),
            dims=("c", "y", "x"),
            c_coords=channels,
            transformations={_keys.COORDINATE_SYSTEM: place},
        )


def corners(element: Element, system: str) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x and y of an element."""
    extent = get_extent(element, coordinate_system=system)
    low, high = np.array([extent[axis] for axis in AXES], dtype=float).T
    return low, high


def outlines(shapes: GeoDataFrame) -> GeoDataFrame:
    """Outlines of shapes that are placed in a scene, in its units; circles become polygons."""
    shown = transform(shapes, to_coordinate_system=_keys.COORDINATE_SYSTEM)
    if "radius" in shown:
        shown = shown.set_geometry(shown.geometry.buffer(shown["radius"]))
    return shown


def in_scene(shapes: GeoDataFrame, place: BaseTransformation) -> GeoDataFrame:
    """Return shapes placed in the only coordinate system of a scene."""
    shapes = shapes.copy()
    shapes.attrs = {}
    return ShapesModel.parse(shapes, transformations={_keys.COORDINATE_SYSTEM: place})
