"""Means and deviations of maps over outlines, a pixel counted by the share inside.

How much of each pixel a polygon covers is exact: its edges are cut at the lines of pixels, and what
each cut leaves to its right is added up along the row. Arrays and torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import shapely
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from stflow.embedding._boxes import Boxes, spread, with_squares

MOST_PIXELS = 2**22
NOTHING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Polygons of one or several pieces, with or without holes.

    Parameters
    ----------
    corners
        Ring after ring, of which each ends where it began, x then y, shape (M, 2). Along outer
        rings y grows on the left of what they enclose, along holes on the right.
    joins
        Whether an edge leads from a corner to the next one, False at the end of a ring, shape (M,).
    starts
        First corner of each of the n outlines, and M, shape (n + 1,).
    """

    corners: np.ndarray
    joins: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, polygons: np.ndarray) -> Outlines:
        """Take apart polygons and multipolygons of shapely, shape (n,)."""
        turned = shapely.orient_polygons(polygons, exterior_cw=True)
        pieces, polygon = shapely.get_parts(turned, return_index=True)
        rings, piece = shapely.get_rings(pieces, return_index=True)
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        joins = np.append(ring[1:] == ring[:-1], False)
        starts = np.searchsorted(polygon[piece[ring]], np.arange(len(polygons) + 1))
        return cls(corners, joins, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def seen_from(self, origin: Sequence[float], stride: float) -> Outlines:
        """Return them in pixels of a map of that stride, which starts at an origin."""
        return Outlines((self.corners - origin) / stride, self.joins, self.starts)

    def take(self, at: np.ndarray) -> Outlines:
        """Return some of them."""
        count = np.diff(self.starts)[at]
        starts = np.concatenate([[0], np.cumsum(count)])
        index = np.arange(starts[-1]) + np.repeat(self.starts[at] - starts[:-1], count)
        return Outlines(self.corners[index], self.joins[index], starts)

    def bounds(self) -> Boxes:
        """Boxes around them."""
        lower, upper = (
            each.reduceat(self.corners, self.starts[:-1]) for each in (np.minimum, np.maximum)
        )
        return Boxes(lower, upper)

    def told_apart(self, digests: np.ndarray, corner: np.ndarray, *, decimals: int) -> np.ndarray:
        """Join digests of what lies around with the shapes, seen from a corner each."""
        count = np.diff(self.starts)
        places = (self.corners - np.repeat(corner, count, axis=0)).round(decimals) + 0.0
        told = np.column_stack([places, self.joins])
        found = [
            hashlib.sha256(digest + told[first:last].tobytes()).digest()[: digests.itemsize]
            for digest, (first, last) in zip(digests.tolist(), pairwise(self.starts), strict=True)
        ]
        return np.array(found, dtype=digests.dtype)


class Shares(NamedTuple):
    """Which outline covers how much of which pixel, shape (K,) each, outline after outline."""

    outline: np.ndarray
    pixel: np.ndarray
    share: np.ndarray


def outline_moments(values: Tensor, outlines: Outlines, level: Tensor) -> list[np.ndarray]:
    """Return mean and standard deviation over outlines, as `box_moments` does over boxes.

    Parameters
    ----------
    values
        A map, shape (1, C, h, w), on which all of them lie.
    outlines
        The n outlines, in pixels of the map; each has an area.
    level
        As of `box_moments`.

    Returns
    -------
    Mean, deviation, float32, shape (n, C) each.
    """
    pixels = with_squares(values, level).flatten(0, 1)
    parts = [_averaged(pixels, n, shares) for n, shares in covered(outlines, values.shape[-2:])]
    return spread(torch.cat(parts), level)


def covered(outlines: Outlines, shape: Sequence[int]) -> Iterator[tuple[int, Shares]]:
    """Find what outlines cover of the pixels of a map, some outlines at a time.

    Parameters
    ----------
    outlines
        In pixels of the map.
    shape
        Height and width of the map; what lies beyond it is not counted.
    """
    size = _windows(outlines, shape)[1].prod(axis=1)
    chunk = np.cumsum(size) // MOST_PIXELS
    for some in np.split(np.arange(len(size)), np.flatnonzero(np.diff(chunk)) + 1):
        yield len(some), _shares(outlines.take(some), shape)


def _windows(outlines: Outlines, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """First pixel of each outline on the map, and how many there are, x then y, shape (n, 2)."""
    bounds, most = outlines.bounds(), np.array(shape[::-1])
    first = np.floor(bounds.lower).astype(np.int64).clip(0, most)
    last = np.ceil(bounds.upper).astype(np.int64).clip(0, most)
    return first, last - first


def _shares(outlines: Outlines, shape: Sequence[int]) -> Shares:
    """Add up, along each row of a window around each outline, what is right of its edges."""
    first, size = _windows(outlines, shape)
    width, height = size.T
    owner = np.repeat(np.arange(len(outlines)), np.diff(outlines.starts))
    x, y = (outlines.corners - first[owner]).T
    at = np.flatnonzero(outlines.joins[:-1] & (y[1:] != y[:-1]))
    edges, owner = np.stack([x[at], y[at], x[at + 1], y[at + 1]]), owner[at]
    for axis in (1, 0):
        edges, owner = _cut(edges, owner, axis=axis)
    x, y = (edges[:2] + edges[2:]) / 2
    row, column = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    inside = (row >= 0) & (row < height[owner])
    wide = width[owner] + 1
    left = np.where((column >= 0) & (column < wide - 1), x - column, 0)
    right = np.where(inside, edges[3] - edges[1], 0)
    corner = np.concatenate([[0], np.cumsum((width + 1) * height)])
    index = np.where(inside, corner[owner] + row * wide + column.clip(0, wide - 1), 0)
    cover = np.bincount(index, right * (1 - left), int(corner[-1]) + 1)
    cover[1:] += np.bincount(index, right * left, int(corner[-1]) + 1)[:-1]
    cover = cover.cumsum()
    kept = np.flatnonzero(cover > NOTHING)
    owner = np.searchsorted(corner, kept, side="right") - 1
    row, column = np.divmod(kept - corner[owner], width[owner] + 1)
    pixel = (row + first[owner, 1]) * shape[1] + column + first[owner, 0]
    real = column < width[owner]
    return Shares(owner[real], pixel[real], cover[kept[real]])


def _cut(edges: np.ndarray, owner: np.ndarray, *, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut edges, two points each, shape (4, K), at whole numbers along an axis."""
    low = np.floor(np.minimum(edges[axis], edges[axis + 2])).astype(np.int64)
    count = np.ceil(np.maximum(edges[axis], edges[axis + 2])).astype(np.int64) - low
    long = np.flatnonzero(count > 1)
    if not len(long):
        return edges, owner
    count = count[long]
    edge = np.repeat(long, count)
    line = low[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    whole = edges[:, edge]
    begin, step = whole[:2], whole[2:] - whole[:2]
    ratio = (np.stack([line, line + 1]) - begin[axis]) / step[axis]
    start, stop = np.sort(ratio.clip(0, 1), axis=0)
    parts = np.concatenate([begin + step * start, begin + step * stop])
    short = np.delete(np.arange(len(low)), long)
    return (
        np.concatenate([edges[:, short], parts], axis=1),
        np.concatenate([owner[short], owner[edge]]),
    )


def _averaged(pixels: Tensor, n: int, shares: Shares) -> Tensor:
    """Average pixels, shape (h w, C), over each of n outlines."""
    first = np.searchsorted(shares.outline, np.arange(n))
    area = np.bincount(shares.outline, shares.share, n)
    weights = (shares.share / area[shares.outline]).astype(np.float32)
    index, offsets, by = (
        torch.from_numpy(each).to(pixels.device) for each in (shares.pixel, first, weights)
    )
    return embedding_bag(index, pixels, offsets, per_sample_weights=by, mode="sum")
