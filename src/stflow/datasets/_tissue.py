"""Where a synthetic tissue has spots, and of what kind it is at each place. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

TissueLattice: TypeAlias = Literal["square", "hex", "random"]
LATTICES: tuple[TissueLattice, ...] = get_args(TissueLattice)
CELLS_PER_PITCH = 20
_COARSE = 5
_MARGIN = 1.6
_OUTLINE = 0.2
_DOMAIN_SIZE = 1.4
_RAGGED_SIZE = 0.35
_NEIGHBOUR_REACH = 1.5
_CLOSEST = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """A tissue as maps on a fine grid.

    Parameters
    ----------
    centres
        Spot centres in pitches from the grid's corner, x then y, shape (N, 2).
    domains
        Index of the domain of each grid cell, shape (rows, columns).
    inside
        Whether a cell is tissue, shape (rows, columns).
    """

    centres: np.ndarray
    domains: np.ndarray
    inside: np.ndarray


def grow_tissue(
    n_spots: int, *, lattice: str, jitter: float, n_domains: int, rng: np.random.Generator
) -> Tissue:
    """Lay out spots and grow domains around them.

    Parameters
    ----------
    n_spots
        Number of spots.
    lattice
        One of ``LATTICES``.
    jitter
        Standard deviation of the spots around their lattice points, in pitches.
    n_domains
        Number of domains.
    rng
        Source of randomness.

    Returns
    -------
    The tissue; lengths are in pitches.
    """
    points = _lay_out(n_spots, lattice, rng)
    if lattice != "random":
        points = points + rng.normal(0, jitter, points.shape)
    centres = points - points.min(axis=0) + _MARGIN
    coarse = np.ceil((centres.max(axis=0) + _MARGIN) * _COARSE).astype(int)[::-1]
    fields = [
        _smooth_noise(coarse, _DOMAIN_SIZE, rng) + 0.3 * _smooth_noise(coarse, _RAGGED_SIZE, rng)
        for _ in range(n_domains)
    ]
    domains = np.argmax([_enlarge(field) for field in fields], axis=0).astype(np.uint8)
    rows_columns = tuple((centres[:, ::-1] * _COARSE).astype(int).T)
    crowd = np.zeros(coarse)
    np.add.at(crowd, rows_columns, _COARSE**2)
    crowd = gaussian_filter(crowd, 0.7 * _COARSE) * np.exp(0.2 * _smooth_noise(coarse, 0.7, rng))
    return Tissue(centres, domains, _enlarge(crowd) > _OUTLINE)


def domain_shares(tissue: Tissue, *, n_domains: int) -> np.ndarray:
    """Measure each domain's share of the disc that a spot covers, shape (N, domains)."""
    reach = CELLS_PER_PITCH // 4
    steps = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    steps = steps[:, (steps**2).sum(axis=0) <= reach**2]
    columns, rows = (tissue.centres * CELLS_PER_PITCH).astype(int).T
    under = tissue.domains[rows[:, None] + steps[0], columns[:, None] + steps[1]]
    return np.stack([(under == domain).mean(axis=1) for domain in range(n_domains)], axis=1)


def neighbour_mean(centres: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average ``values`` over the spots within 1.5 pitches; a lone spot keeps its own."""
    pairs = KDTree(centres).query_pairs(_NEIGHBOUR_REACH, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    n_spots = len(centres)
    graph = sp.csr_matrix((np.ones(len(both)), both.T), shape=(n_spots, n_spots))
    degree = np.asarray(graph.sum(axis=1))
    return np.where(degree > 0, graph @ values / np.maximum(degree, 1), values)


def _lay_out(n_spots: int, lattice: str, rng: np.random.Generator) -> np.ndarray:
    """Choose the ``n_spots`` points of a lattice of pitch 1 inside a rounded, lobed outline."""
    half = int(np.ceil(0.8 * np.sqrt(n_spots))) + 3
    if lattice == "random":
        points = _free_points(half, rng)
    else:
        x, y = np.meshgrid(np.arange(-half, half + 1.0), np.arange(-half, half + 1.0))
        if lattice == "hex":
            x, y = x + 0.5 * (y % 2), y * np.sqrt(3) / 2
        points = np.column_stack([x.ravel(), y.ravel()])
    angle = np.arctan2(points[:, 1], points[:, 0])
    phases = rng.uniform(0, 2 * np.pi, 3)
    lobes = sum(0.06 * np.sin(k * angle + phase) for k, phase in enumerate(phases, start=2))
    radius = np.hypot(*points.T) / (1 + lobes)
    chosen = np.argsort(radius, kind="stable")[:n_spots]
    return points[np.sort(chosen)]


def _free_points(half: int, rng: np.random.Generator) -> np.ndarray:
    """Draw points at least half a pitch apart, one per square pitch on average.

    Of Poisson points a pair that is too close keeps the one that came first, which leaves the
    share (1 - exp(-m)) / m, where m is how many points fall on average within the distance.
    """
    crowd = -np.log1p(-np.pi * _CLOSEST**2)
    density = crowd / (np.pi * _CLOSEST**2)
    points = rng.uniform(-half, half, (rng.poisson(density * (2 * half) ** 2), 2))
    pairs = KDTree(points).query_pairs(_CLOSEST, output_type="ndarray")
    keep = np.ones(len(points), dtype=bool)
    keep[pairs.max(axis=1)] = False
    return points[keep]


def _smooth_noise(shape: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a Gaussian random field of unit variance, smooth over ``size`` pitches."""
    field = gaussian_filter(rng.standard_normal(tuple(shape)), size * _COARSE, mode="wrap")
    return field / max(field.std(), np.finfo(float).tiny)


def _enlarge(field: np.ndarray) -> np.ndarray:
    """Interpolate from the coarse to the fine grid."""
    times = CELLS_PER_PITCH // _COARSE
    size = (field.shape[1] * times, field.shape[0] * times)
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
