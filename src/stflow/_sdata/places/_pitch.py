"""Boundary: the scale of an image from the distance between the spots of a known technology."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

PITCH_UM = {"visium": 100.0, "st": 200.0}
PITCH_SPREAD = 0.25
PITCH_ROUNDS = 5
ENOUGH_SPOTS = 20_000
CONTRADICTION = 0.2
UNEXPLAINED = 0.1
MOST_STRETCHED = 1.3
# A step from row to row and from column to column of an array, in pitches.
_STEPS = {"hex": (np.sqrt(0.75), 0.5), "square": (1.0, 1.0)}


def lattice_pitch(points: np.ndarray) -> float | None:
    """Distance of neighbours on a lattice whose points may be shifted a little, None if it is none.

    The median distance of nearest neighbours starts the search but is too short, each being the
    closest of several shifted points; the median distance of all pairs around it is not. Of very
    many points, those around the first are looked at.

    Parameters
    ----------
    points
        Shape (N, 2), at least two of them.
    """
    if len(points) > ENOUGH_SPOTS:
        apart = np.linalg.norm(points - points[0], axis=1)
        points = points[np.argpartition(apart, ENOUGH_SPOTS)[:ENOUGH_SPOTS]]
    tree = KDTree(points)
    nearest = tree.query(points, k=2)[0][:, 1]
    pitch = float(np.median(nearest))
    for _ in range(PITCH_ROUNDS):
        first, second = tree.query_pairs((1 + PITCH_SPREAD) * pitch, output_type="ndarray").T
        distances = np.linalg.norm(points[first] - points[second], axis=1)
        pitch = float(np.median(distances[distances >= (1 - PITCH_SPREAD) * pitch]))
    regular = np.quantile(nearest, 0.1) > (1 - PITCH_SPREAD) * pitch
    return pitch if regular else None


def array_pitch(places: np.ndarray, centres: np.ndarray, *, lattice: str) -> float:
    """Distance of neighbours on an array, from where its spots were found on the image.

    A linear map is fitted, so gaps, a turned array and scattered spots do no harm.

    Parameters
    ----------
    places
        Row and column of each spot on the array, shape (N, 2).
    centres
        Where they lie, shape (N, 2).
    lattice
        ``"square"``, or ``"hex"``, where neighbours in a row are two columns apart.

    Raises
    ------
    ValueError
        All spots lie on one line, or not where their places on the array say, or as on an array of
        another kind.
    """
    steps, apart = places - places.mean(axis=0), centres - centres.mean(axis=0)
    fitted, _, rank, _ = np.linalg.lstsq(steps, apart, rcond=None)
    if min(rank, np.linalg.matrix_rank(fitted)) < 2:
        raise ValueError(
            f"{len(places)} spots on one line of the array do not tell the scale of the image."
        )
    unexplained = np.square(apart - steps @ fitted).sum() / np.square(apart).sum()
    if unexplained > UNEXPLAINED:
        raise ValueError(
            f"The places of {len(places)} spots on the array do not tell where they lie on the "
            "image."
        )
    longest, shortest = np.linalg.svd(fitted / np.transpose([_STEPS[lattice]]), compute_uv=False)
    if longest > MOST_STRETCHED * shortest:
        raise ValueError(
            f"{len(places)} spots do not lie on a {lattice} array: one way neighbours are "
            f"{longest / shortest:.1f} times as far apart as another."
        )
    return float(np.sqrt(longest * shortest))


def agree(mpp: float, measured: float) -> bool:
    """Whether a scale differs by no more than 20 % from what the places of the spots give."""
    return bool(abs(mpp - measured) <= CONTRADICTION * measured)
