"""Boundary: an image and the spots that lie on it, in one coordinate system."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from geopandas import GeoDataFrame
from spatialdata import SpatialData, bounding_box_query, get_extent, transform
from spatialdata.models import Image2DModel, ShapesModel
from spatialdata.transformations import (
    BaseTransformation,
    Scale,
    Sequence,
    get_transformation,
)
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._sdata import (
    Region,
    annotated_shapes,
    colour_channels,
    element_shapes,
    get_regions,
    image_levels,
    resolve_image,
)
from stflow._sdata.places import image_scale, spots_on_image
from stflow._validation import listing, require_key
from stflow._warn import warn

AXES = ("x", "y")


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
    mpp
        Micrometres per full-resolution pixel, or None when unknown.
    """

    image_key: str
    image: DataArray | DataTree
    size_px: tuple[int, int]
    system: str
    spots: GeoDataFrame
    rows: np.ndarray
    mpp: float | None

    @property
    def pixels_to_units(self) -> np.ndarray:
        """3 x 3 matrix from full-resolution pixels to the coordinate system."""
        place = get_transformation(self.image, self.system)
        return np.asarray(place.to_affine_matrix(AXES, AXES))

    @property
    def um_per_unit(self) -> float | None:
        """Micrometres in one unit of the coordinate system, or None when unknown."""
        return self.mpp and self.mpp / side_of_unit(self.pixels_to_units)

    @property
    def centres(self) -> np.ndarray:
        """Middles of the spots in the coordinate system, shape (N, 2)."""
        own = self.spots.geometry.centroid
        place = get_transformation(self.spots, _keys.COORDINATE_SYSTEM)
        affine = place.to_affine_matrix(AXES, AXES)
        return np.column_stack([own.x, own.y]) @ affine[:2, :2].T + affine[:2, 2]

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


def side_of_unit(affine: np.ndarray) -> float:
    """Side of the square that a unit square becomes, were it to stay one."""
    return math.sqrt(abs(np.linalg.det(affine[:2, :2])))


def corners(
    element: DataArray | DataTree | GeoDataFrame, system: str
) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x and y of an element."""
    extent = get_extent(element, coordinate_system=system)
    low, high = np.array([extent[axis] for axis in AXES], dtype=float).T
    return low, high


def read_stage(
    sdata: SpatialData,
    table: AnnData | None,
    *,
    image_key: str | None,
    image_mpp: float | None,
    shapes_key: str | None,
    coordinate_system: str,
) -> Stage:
    """Find an image and the spots that lie on it.

    Without a table, ``shapes_key`` names them; with one, None is the only element that it
    annotates.

    Raises
    ------
    KeyError
        The image, the spots or their place in the coordinate system are missing, or there are
        several to choose from.
    ValueError
        The table annotates no element, or two spots share a name.

    Warns
    -----
    UserWarning
        Nothing tells the scale.
    """
    if table is None:
        name, rows = str(shapes_key), np.empty(0, dtype=int)
        spots = element_shapes(sdata, name).copy()
    else:
        region = _region(table, shapes_key)
        name, rows = region.name, region.rows
        spots = annotated_shapes(sdata, name, region.instances).copy()
    image_key = resolve_image(sdata, image_key, region=name)
    image = sdata.images[image_key]
    system = _system(image, spots, coordinate_system)
    place_of(image, system, image_key)
    try:
        if table is None:
            mpp = image_scale(sdata, image_key, image_mpp)
        else:
            mpp = spots_on_image(sdata, table, region, image_key=image_key, image_mpp=image_mpp).mpp
    except ValueError as error:
        warn(f"No scale bar. {error}")
        mpp = None
    finest = image_levels(sdata, image_key)[0].sizes
    return Stage(
        image_key=image_key,
        image=image,
        size_px=(finest["x"], finest["y"]),
        system=system,
        spots=in_scene(spots, place_of(spots, system, name)),
        rows=rows,
        mpp=mpp,
    )


def read_tissue(sdata: SpatialData, tissue_key: str | None, system: str) -> GeoDataFrame | None:
    """Return the tissue's outlines, in units of a coordinate system; None where there are none.

    Raises
    ------
    KeyError
        Tissue of another name than the usual is missing, or not in the coordinate system.
    """
    usual = tissue_key == _keys.TISSUE
    if tissue_key is None or (usual and tissue_key not in sdata.shapes):
        return None
    require_key(tissue_key, sdata.shapes, what="tissue in shapes")
    tissue = sdata.shapes[tissue_key]
    if usual and system not in get_transformation(tissue, get_all=True):
        return None
    return drawn(in_scene(tissue, place_of(tissue, system, tissue_key)))


def drawn(shapes: GeoDataFrame) -> GeoDataFrame:
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


def place_of(
    element: DataArray | DataTree | GeoDataFrame, coordinate_system: str, name: str
) -> BaseTransformation:
    """Return where an element lies, or raise ``KeyError``, naming where it does."""
    places = get_transformation(element, get_all=True)
    hint = "Name one with `coordinate_system=`."
    require_key(coordinate_system, places, what=f"coordinate system of {name!r}", hint=hint)
    return places[coordinate_system]


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


def _system(image: DataArray | DataTree, spots: GeoDataFrame, wanted: str) -> str:
    """Return the wanted coordinate system, or for the default the first that both are in."""
    known = get_transformation(image, get_all=True)
    shared = [name for name in get_transformation(spots, get_all=True) if name in known]
    if wanted == _keys.COORDINATE_SYSTEM and shared and wanted not in shared:
        return shared[0]
    return wanted
