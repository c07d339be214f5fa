"""Boundary: polygons that cross themselves, made whole, and centroids by area."""

from __future__ import annotations

import numpy as np
import shapely


def made_whole(shapes: np.ndarray) -> np.ndarray:
    """Return shapes of which none crosses itself; holes stay, and what has no area is empty.

    Parameters
    ----------
    shapes
        Shape (N,).
    """
    return shapely.make_valid(shapes, method="structure", keep_collapsed=False)


def centroids(shapes: np.ndarray) -> np.ndarray:
    """Return centroids by area, shape (N, 2), NaN of empty shapes.

    Parameters
    ----------
    shapes
        Shape (N,). The area of polygons that cross themselves is that of `made_whole`.
    """
    broken = ~shapely.is_valid(shapes)
    if broken.any():
        shapes = shapes.copy()
        shapes[broken] = made_whole(shapes[broken])
    centres = shapely.centroid(shapes)
    held = ~shapely.is_empty(centres) & ~shapely.is_missing(centres)
    found = np.full((len(shapes), 2), np.nan)
    found[held] = shapely.get_coordinates(centres[held])
    return found
