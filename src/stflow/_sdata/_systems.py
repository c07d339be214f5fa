"""Boundary: where elements lie: coordinate systems, the one to use, and points moved to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from geopandas import GeoDataFrame
from spatialdata import SpatialData
from spatialdata.transformations import BaseTransformation, get_transformation
from xarray import DataArray, DataTree

from stflow import _keys
from stflow._validation import require_key

Element: TypeAlias = GeoDataFrame | DataArray | DataTree
Places: TypeAlias = Mapping[str, BaseTransformation]
AXES = ("x", "y")


def places_of(element: Element) -> dict[str, BaseTransformation]:
    """Return where an element lies in each of its coordinate systems."""
    return dict(get_transformation(element, get_all=True))


def image_places(sdata: SpatialData, image_key: str) -> dict[str, BaseTransformation]:
    """Return where an image lies in each of its coordinate systems."""
    return places_of(sdata.images[image_key])


def shared_systems(first: Places, *others: Places) -> list[str]:
    """Return the coordinate systems that elements share, in the order of the first."""
    return [system for system in first if all(system in other for other in others)]


def choose_system(shared: list[str], wanted: str = _keys.COORDINATE_SYSTEM) -> str:
    """Return the wanted coordinate system, or for the default the first there is.

    Readers and joins of slides name systems after slides, and leave out ``"global"``.
    """
    usual = wanted == _keys.COORDINATE_SYSTEM
    return shared[0] if usual and shared and wanted not in shared else wanted


def place_in(places: Places, system: str, name: str) -> BaseTransformation:
    """Return where an element lies in a coordinate system.

    Raises
    ------
    KeyError
        It is not in that.
    """
    hint = "Name one with `coordinate_system=`."
    require_key(system, places, what=f"coordinate system of {name!r}", hint=hint)
    return places[system]


def matrix_of(place: BaseTransformation) -> np.ndarray:
    """3 x 3 matrix of a transformation in the plane."""
    return np.asarray(place.to_affine_matrix(AXES, AXES))


def side_of_unit(matrix: np.ndarray) -> float:
    """Side of the square that a unit square becomes, were it to stay one."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return points, shape (N, 2), moved by a 3 x 3 matrix."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]
