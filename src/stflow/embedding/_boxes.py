"""Means and deviations of maps over boxes of one width. Arrays and torch.

A window of that width slides over a map in whole pixels, once for all boxes; one that starts in
between is a mixture of those around it. No large sums are taken from each other, so that single
precision serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, embedding_bag, pad

from stflow.embedding._maps import Box, Piece

DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes in pixels of the encoder's scale.

    Parameters
    ----------
    lower, upper
        Two corners of the n boxes, x then y, shape (n, 2) each.
    """

    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def around(cls, centres: np.ndarray, width: float) -> Boxes:
        """Put squares around centres, shape (n, 2)."""
        return cls(centres - width / 2, centres + width / 2)

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def centres(self) -> np.ndarray:
        """Their middles, shape (n, 2)."""
        return (self.lower + self.upper) / 2

    def seen_from(self, origin: Sequence[float], stride: int) -> Boxes:
        """Return them in pixels of a map of that stride, which starts at an origin."""
        return Boxes((self.lower - origin) / stride, (self.upper - origin) / stride)

    def bounds(self) -> Boxes:
        """Return boxes around them, which they are."""
        return self

    def take(self, at: np.ndarray) -> Boxes:
        """Return some of them."""
        return Boxes(self.lower[at], self.upper[at])

    def beside(self, others: Boxes) -> Boxes:
        """Return them and others."""
        pairs = (self.lower, others.lower), (self.upper, others.upper)
        return Boxes(*map(np.concatenate, pairs))

    def grown(self, margin: float) -> Boxes:
        """Return them wider by a margin on each side."""
        return Boxes(self.lower - margin, self.upper + margin)

    def extent(self, step: int = 1) -> Box:
        """Two corners around all and one step more, multiples of a step: x0, y0, x1, y1."""
        x0, y0 = (np.floor(self.lower.min(axis=0) / step).astype(int) * step).tolist()
        last = np.ceil(self.upper.max(axis=0) / step).astype(int)
        x1, y1 = ((last + 1) * step).tolist()
        return x0, y0, x1, y1

    def corners(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """First and last piece, column and row, that each shares area with, shape (n, 2) each."""
        first = np.floor(self.lower / side).astype(int)
        last = np.ceil(self.upper / side).astype(int) - 1
        return first, np.maximum(last, first)

    def pieces(self, side: int) -> set[Piece]:
        """Pieces that some box shares area with."""
        if not len(self):
            return set()
        ranges, _ = distinct(np.hstack(self.corners(side)))
        return {
            (x, y)
            for x0, y0, x1, y1 in ranges.tolist()
            for x in range(x0, x1 + 1)
            for y in range(y0, y1 + 1)
        }


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of whole numbers without repeats, and which of these each row is."""
    low = rows.min(axis=0)
    shape = tuple(rows.max(axis=0) - low + 1)
    codes, which = np.unique(np.ravel_multi_index((rows - low).T, shape), return_inverse=True)
    return np.stack(np.unravel_index(codes, shape), axis=1) + low, which


def box_moments(values: Tensor, boxes: Boxes, level: Tensor) -> list[np.ndarray]:
    """Return mean and standard deviation over squares, a pixel counted by the share inside.

    Parameters
    ----------
    values
        A map, shape (1, C, h, w), which goes on for a pixel beyond the last that a box touches.
    boxes
        The n boxes, squares of one width, in pixels of the map.
    level
        About where the values lie, shape (C,); their squares are taken from there.

    Returns
    -------
    Mean, deviation, float32, shape (n, C) each.
    """
    width = round(float(boxes.upper[0, 0] - boxes.lower[0, 0]), DECIMALS)
    along_x, along_y = (_along(each, width) for each in boxes.lower.T)
    rows, row = np.unique(along_y.at, return_inverse=True)
    windows = window_means(with_squares(values, level), _sides(width), rows)
    along_y = along_y._replace(at=row.reshape(along_y.at.shape))
    index, share = _mixture(along_x, along_y, width, *windows.shape[1:3])
    return spread(read_windows(windows, index, share), level)


def with_squares(values: Tensor, level: Tensor) -> Tensor:
    """Put a map less its level and the squares of that together, float32, shape (h, w, 2 C)."""
    centred = values[0].permute(1, 2, 0).float() - level.to(values.device)
    return torch.cat([centred, centred.square()], dim=-1)


def spread(means: Tensor, level: Tensor) -> list[np.ndarray]:
    """Turn means of what `with_squares` gives, shape (n, 2 C), into mean and deviation."""
    mean, square = means.cpu().chunk(2, dim=1)
    deviation = (square - mean.square()).clamp_(min=0).sqrt_()
    return [(mean + level.cpu()).numpy(), deviation.numpy()]


def window_means(pixels: Tensor, sides: Sequence[int], rows: np.ndarray) -> Tensor:
    """Average a map over windows of whole pixels at each place.

    Parameters
    ----------
    pixels
        Shape (h, w, C).
    sides
        Of the windows, in pixels, the longest last.
    rows
        The r rows at which windows are wanted.

    Returns
    -------
    By height, width, first row and first column of a window, float32, shape (sides * sides, r,
    columns, C); columns that have no room for the longest hold nothing of use.
    """
    channels = pixels.shape[2]
    spare = max(map(_step, sides))
    padded = pad(pixels, (0, 0, 0, spare, 0, spare))
    columns = padded.shape[1]
    wanted = torch.from_numpy(rows).to(pixels.device)
    windows = []
    for tall in (_slid(padded.flatten(1), side)[wanted] for side in sides):
        strip = pad(tall.view(-1, channels), (0, 0, 0, sides[-1] + spare))
        windows += [_slid(strip, side)[: len(rows) * columns] for side in sides]
    whole = torch.stack(windows) if len(windows) > 1 else windows[0]
    return whole.view(-1, len(rows), columns, channels)


def read_windows(windows: Tensor, index: np.ndarray, share: np.ndarray) -> Tensor:
    """Mix rows of windows, by their index in all, with shares; both of shape (n, parts)."""
    at = torch.from_numpy(index).to(windows.device)
    weights = torch.from_numpy(share).to(windows.device)
    return embedding_bag(at, windows.flatten(0, 2), per_sample_weights=weights, mode="sum")


def _sides(width: float) -> list[int]:
    whole = int(width)
    return [whole] if whole == width else [whole, whole + 1]


def _slid(rows: Tensor, side: int) -> Tensor:
    """Average so many rows (n, R) from each on; in two passes, which comes to less to add."""
    step = _step(side)
    if step == 1:
        return _pooled(rows, side)
    fine = _pooled(rows, step)
    whole = fine[: len(fine) // step * step].view(-1, step * rows.shape[1])
    return _pooled(whole, side // step).view(-1, rows.shape[1])


def _step(side: int) -> int:
    """Rows to average in the first pass: a divisor of the side, near its root."""
    return max(step for step in range(1, isqrt(side) + 1) if side % step == 0) if side else 1


def _pooled(rows: Tensor, side: int) -> Tensor:
    picture = rows.view(1, len(rows), 1, -1).permute(0, 3, 1, 2)
    return avg_pool2d(picture, (max(side, 1), 1), 1).permute(0, 2, 3, 1).flatten(0, 2)


class _Along(NamedTuple):
    """Windows that boxes are made of along one axis: first pixel and share (n, parts), side."""

    at: np.ndarray
    side: np.ndarray
    share: np.ndarray


def _mixture(
    x: _Along, y: _Along, width: float, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Index and share, shape (n, 4 or 16), of the windows that each box is made of."""
    sides = np.array(_sides(width))
    window = y.side[:, None] * len(sides) + x.side
    index = (window * rows + y.at[:, :, None]) * columns + x.at[:, None]
    area = sides[y.side][:, None] * sides[x.side] / width**2
    share = (y.share[:, :, None] * x.share[:, None] * area).astype(np.float32)
    return index.reshape(len(x.at), -1), share.reshape(len(x.at), -1)


def _along(lower: np.ndarray, width: float) -> _Along:
    """Find the windows of boxes along one axis.

    A box that starts at k + f is W + p pixels long. With f + p <= 1 it is 1 - f - p of the window
    of W pixels from k, f of that from k + 1 and p of the one of W + 1 pixels from k; else 1 - f of
    W + 1 pixels from k, f + p - 1 of those from k + 1, and 1 - p of W pixels from k + 1.
    """
    first = np.floor(lower)
    f, p = lower - first, width % 1
    at = first.astype(np.int64)[:, None]
    if not p:
        return _Along(at + np.array([0, 1]), np.array([0, 0]), np.column_stack([1 - f, f]))
    over = np.maximum(f + p - 1, 0)
    share = np.column_stack([np.maximum(1 - f - p, 0), f - over, p - over, over])
    return _Along(at + np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), share)
