"""Neighbours at the pitch of a lattice, however dense the spots are. Arrays only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

FURTHEST = 4
AXES = {"square": ((1.0, 0.0), (0.0, 1.0)), "hex": ((1.0, 0.0), (0.5, np.sqrt(0.75)))}
SYMMETRY = {"square": 90, "hex": 60}
ENOUGH_SPOTS, AT_ONCE = 500, 200_000
EVEN, COVERED, BETTER = 0.1, 0.75, 0.01


def lattice_graph(
    coords: np.ndarray, pitch: float, *, lattice: str, n_neighs: int
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Compute connectivities and distances of one slide as if its spots were a pitch apart.

    A lattice is laid around each spot, turned as most spots lie. At each of its places stands the
    nearest spot, if there is one; of those, the nearest places are taken as `knn_graph` takes
    spots. On a grid whose step divides the pitch these are the neighbours that the spot has on its
    own shifted lattice of that pitch.

    Parameters
    ----------
    coords
        Spot centres, shape (N, 2).
    pitch
        Distance between neighbours on the lattice, in units of ``coords``.
    lattice
        ``"hex"`` or ``"square"``.
    n_neighs
        Number k of neighbours; equally distant places are taken together. A spot has fewer where
        there are no more within four pitches.
    """
    tree, rings = KDTree(coords), _rings(lattice)
    reach = _reach(tree, pitch)
    turned = _turn(tree, pitch * rings[0], SYMMETRY[lattice], pitch)
    rings = [pitch * ring @ turned for ring in rings]
    parts = [
        _neighbours(tree, np.arange(first, min(first + AT_ONCE, tree.n)), rings, reach, n_neighs)
        for first in range(0, tree.n, AT_ONCE)
    ]
    rows, columns = np.concatenate(parts, axis=1)
    lengths = np.linalg.norm(coords[rows] - coords[columns], axis=1)
    shape, ones = (tree.n, tree.n), np.ones(len(rows), dtype=np.float32)
    return (
        sp.csr_matrix((ones, (rows, columns)), shape=shape),
        sp.csr_matrix((lengths, (rows, columns)), shape=shape),
    )


def _neighbours(
    tree: KDTree, spots: np.ndarray, rings: list[np.ndarray], reach: float, n_neighs: int
) -> np.ndarray:
    """Spots (n,), each as often as it has neighbours, above these, shape (2, edges)."""
    found, edges = np.zeros(tree.n, dtype=int), [np.empty((2, 0), dtype=int)]
    for ring in rings:
        places = tree.data[spots][:, None] + ring
        away, nearest = tree.query(places, distance_upper_bound=reach)
        there = np.isfinite(away)
        edges.append(np.stack([spots[np.nonzero(there)[0]], nearest[there]]))
        found[spots] += there.sum(1)
        spots = spots[found[spots] < n_neighs]
        if not len(spots):
            break
    return np.concatenate(edges, axis=1)


def _rings(lattice: str) -> list[np.ndarray]:
    """Places of a lattice of pitch 1 around the origin, those equally far together."""
    steps = np.arange(-2 * FURTHEST, 2 * FURTHEST + 1)
    places = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) @ np.array(AXES[lattice])
    length = np.linalg.norm(places, axis=1).round(6)
    return [places[length == each] for each in np.unique(length) if 0 < each <= FURTHEST]


def _reach(tree: KDTree, pitch: float) -> float:
    """How far a spot may lie from the place at which it stands.

    Half the pitch, so that it stands at no two places; less on a lattice, where beyond the rim of
    the tissue the spots of the rim would stand in for those that are missing.
    """
    if tree.n < 2:
        return pitch / 2
    low, step, high = np.quantile(tree.query(tree.data, k=2)[0][:, 1], [0.1, 0.5, 0.9])
    return min(pitch / 2, COVERED * step) if high - low < EVEN * step else pitch / 2


def _turn(tree: KDTree, ring: np.ndarray, symmetry: int, pitch: float) -> np.ndarray:
    """Rotation, shape (2, 2), after which spots lie nearest to a lattice's first ring.

    Found to a degree; it is none where no other is better by a hundredth of the pitch.
    """
    some = np.linspace(0, tree.n - 1, min(tree.n, ENOUGH_SPOTS)).astype(int)
    turns = list(_rotations(symmetry))
    away = [tree.query(tree.data[some][:, None] + ring @ turn)[0] for turn in turns]
    miss = np.array([each.clip(max=pitch / 2).mean() for each in away])
    best = int(miss.argmin())
    return turns[best] if miss[0] - miss[best] > BETTER * pitch else turns[0]


def _rotations(symmetry: int) -> Iterator[np.ndarray]:
    """Rotations by whole degrees below ``symmetry``."""
    for angle in np.deg2rad(np.arange(symmetry)):
        yield np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
