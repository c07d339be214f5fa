"""Means and deviations of maps over outlines, a pixel counted by the share inside.

How much of each pixel a polygon covers is exact: its edges are cut at the lines of pixels, and what
each cut leaves to its right is added up along the row. Arrays and torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from stflow.embedding._maps import Box, Piece

MOST_PIXELS = 2**22
NOTHING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Rectangles: upper left corners and widths, x then y, shape (n, 2) each."""

    lower: np.ndarray
    width: np.ndarray

    def grown(self, margin: float) -> Bounds:
        """Return them wider by a margin on each side."""
        return Bounds(self.lower - margin, self.width + 2 * margin)

    def extent(self) -> Box:
        """Two corners around all: x0, y0, x1, y1."""
        x0, y0 = np.floor(self.lower.min(axis=0)).astype(int).tolist()
        x1, y1 = np.ceil((self.lower + self.width).max(axis=0)).astype(int).tolist()
        return x0, y0, x1, y1

    def corners(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """First and last piece, column and row, that each shares area with, shape (n, 2) each."""
        first = np.floor(self.lower / side).astype(int)
        last = np.ceil((self.lower + self.width) / side).astype(int) - 1
        return first, np.maximum(last, first)

    def pieces(self, side: int) -> set[Piece]:
        """Pieces that some share area with."""
        return set(self.by_piece(side))

    def by_piece(self, side: int) -> dict[Piece, np.ndarray]:
        """Positions of those that share area with each piece, row after row of pieces."""
        first, last = self.corners(side)
        found = []
        for step in np.ndindex(*(last - first).max(axis=0) + 1):
            piece = first + step
            inside = np.flatnonzero((piece <= last).all(axis=1))
            found.append(np.column_stack([piece[inside, ::-1], inside]))
        every = np.concatenate(found)
        every = every[np.lexsort(every.T[::-1])]
        edges = np.flatnonzero(np.diff(every[:, :2], axis=0).any(axis=1)) + 1
        return {(int(part[0, 1]), int(part[0, 0])): part[:, 2] for part in np.split(every, edges)}


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

    def __len__(self) -> int:
        return len(self.starts) - 1

    def scaled(self, factor: float) -> Outlines:
        """Return them with all coordinates multiplied."""
        return Outlines(self.corners * factor, self.joins, self.starts)

    def take(self, at: np.ndarray) -> Outlines:
        """Return some of them."""
        count = np.diff(self.starts)[at]
        starts = np.concatenate([[0], np.cumsum(count)])
        index = np.arange(starts[-1]) + np.repeat(self.starts[at] - starts[:-1], count)
        return Outlines(self.corners[index], self.joins[index], starts)

    def bounds(self) -> Bounds:
        """Return what lies around each."""
        lower, upper = (
            each.reduceat(self.corners, self.starts[:-1]) for each in (np.minimum, np.maximum)
        )
        return Bounds(lower, upper - lower)

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


def outline_moments(
    outlines: Outlines,
    strides: Sequence[int],
    pieces: Iterable[tuple[tuple[int, ...], np.ndarray, Sequence[Tensor]]],
) -> list[np.ndarray]:
    """Return mean and standard deviation over outlines, as `moments` does over boxes.

    Parameters
    ----------
    outlines
        The n outlines, in pixels of the encoder's scale; each has an area.
    strides
        Of these pixels of a pixel of each map.
    pieces
        Where each starts, x then y; positions of the outlines whose bounds share area with it; its
        maps, shape (1, C, h, w).

    Returns
    -------
    Mean, deviation, map by map, float32, shape (n, C) each.
    """
    sums: list[Tensor | None] = [None] * len(strides)
    covered = np.zeros((len(strides), len(outlines)))
    for corner, at, maps in pieces:
        some = outlines.take(at)
        for i, (values, stride) in enumerate(zip(maps, strides, strict=True)):
            table = _with_squares(values)
            total = sums[i]
            if total is None:
                total = sums[i] = table.new_zeros(len(outlines), table.shape[1])
            for shares in covered_pixels(some, corner, stride, values.shape[-2:]):
                _add(total, table, shares, at)
                covered[i, at] += np.bincount(shares.outline, shares.share, len(at))
    found = []
    for total, area in zip(sums, covered, strict=True):
        whole = total.cpu() / torch.from_numpy(area)[:, None]  # type: ignore[union-attr]
        mean, square = whole.chunk(2, dim=1)
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        found += [mean.float().numpy(), deviation.float().numpy()]
    return found


def covered_pixels(
    outlines: Outlines, corner: Sequence[int], stride: int, shape: Sequence[int]
) -> Iterator[Shares]:
    """Find what outlines cover of the pixels of a map, some outlines at a time.

    Parameters
    ----------
    outlines
        In pixels of the encoder's scale.
    corner
        Where the map starts, in the same pixels, x then y.
    stride
        Of these of a pixel of the map.
    shape
        Height and width of the map; what lies beyond it is not counted.
    """
    here = Outlines((outlines.corners - corner) / stride, outlines.joins, outlines.starts)
    size = _windows(here, shape)[1].prod(axis=1)
    chunk = np.cumsum(size) // MOST_PIXELS
    for some in np.split(np.arange(len(size)), np.flatnonzero(np.diff(chunk)) + 1):
        shares = _shares(here.take(some), shape)
        yield shares._replace(outline=some[shares.outline])


def _windows(outlines: Outlines, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """First pixel of each outline on the map, and how many there are, x then y, shape (n, 2)."""
    bounds, most = outlines.bounds(), np.array(shape[::-1])
    first = np.floor(bounds.lower).astype(np.int64).clip(0, most)
    last = np.ceil(bounds.lower + bounds.width).astype(np.int64).clip(0, most)
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


def _with_squares(values: Tensor) -> Tensor:
    """Put pixels of a map, shape (1, C, h, w), and their squares in rows, float64, (h w, 2 C)."""
    pixels = values[0].permute(1, 2, 0).flatten(0, 1)
    if pixels.device.type == "mps":  # knows no float64
        pixels = pixels.cpu()
    pixels = pixels.double()
    return torch.cat([pixels, pixels.square()], dim=1)


def _add(total: Tensor, table: Tensor, shares: Shares, at: np.ndarray) -> None:
    """Add the weighted rows of a table to the rows ``at`` of outlines."""
    which, first = np.unique(shares.outline, return_index=True)
    if not len(which):
        return
    index, weights, offsets, rows = (
        torch.from_numpy(each).to(table.device)
        for each in (shares.pixel, shares.share, first, at[which])
    )
    part = embedding_bag(index, table, offsets, per_sample_weights=weights, mode="sum")
    total.index_add_(0, rows, part)
