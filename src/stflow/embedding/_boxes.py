"""Means and deviations of maps over boxes, by summed-area tables [1]_. Arrays and torch.

.. [1] Crow. Summed-area tables for texture mapping. SIGGRAPH 1984.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from stflow.embedding._maps import Piece


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes in pixels of the encoder's scale: two corners, x then y, each of shape (n, 2)."""

    lower: np.ndarray
    upper: np.ndarray

    def __len__(self) -> int:
        return len(self.lower)

    def take(self, at: np.ndarray) -> Boxes:
        """Return some of them."""
        return Boxes(self.lower[at], self.upper[at])

    def grown(self, margin: float) -> Boxes:
        """Return them wider by a margin on each side."""
        return Boxes(self.lower - margin, self.upper + margin)

    def around(self, side: float) -> Boxes:
        """Return squares of a side about their centres."""
        centres = (self.lower + self.upper) / 2
        return Boxes(centres - side / 2, centres + side / 2)

    def extent(self) -> tuple[float, float, float, float]:
        """Two corners of a box around all, x0, y0, x1, y1."""
        x0, y0 = np.floor(self.lower.min(axis=0)).tolist()
        x1, y1 = np.ceil(self.upper.max(axis=0)).tolist()
        return x0, y0, x1, y1

    def corners(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """First and last piece, column and row, that each shares area with, shape (n, 2) each."""
        first = np.floor(self.lower / side).astype(int)
        return first, np.maximum(np.ceil(self.upper / side).astype(int) - 1, first)

    def by_piece(self, side: int) -> dict[Piece, np.ndarray]:
        """Positions of the boxes that share area with each piece, row after row of pieces."""
        if not len(self):
            return {}
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


def moments(
    boxes: Boxes,
    strides: Sequence[int],
    pieces: Iterable[tuple[tuple[int, ...], np.ndarray, Sequence[Tensor]]],
) -> list[np.ndarray]:
    """Return mean and standard deviation over boxes, a pixel counted by the share inside.

    Parameters
    ----------
    boxes
        The n boxes.
    strides
        Pixels of the boxes of a pixel of each map.
    pieces
        Where each starts, x then y; positions of the boxes that share area with it; its maps,
        shape (1, C, h, w).

    Returns
    -------
    Mean, deviation, map by map, float32, shape (n, C) each.
    """
    sums: list[Tensor | None] = [None] * len(strides)
    for corner, at, maps in pieces:
        lower, upper = (torch.from_numpy(c[at] - corner) for c in (boxes.lower, boxes.upper))
        for i, (values, stride) in enumerate(zip(maps, strides, strict=True)):
            table = summed_area(values)
            part = box_sums(table, lower / stride, upper / stride)
            total = sums[i]
            if total is None:
                total = sums[i] = part.new_zeros(len(boxes), part.shape[1])
            total.index_add_(0, torch.from_numpy(at).to(part.device), part)
    area = torch.from_numpy((boxes.upper - boxes.lower).prod(axis=1, keepdims=True))
    found = []
    for total, stride in zip(sums, strides, strict=True):
        mean, square = (total.cpu() * stride**2 / area).chunk(2, dim=1)  # type: ignore[union-attr]
        deviation = (square - mean.square()).clamp(min=0).sqrt()
        found += [mean.float().numpy(), deviation.float().numpy()]
    return found


def summed_area(values: Tensor) -> Tensor:
    """Return running sums of a map and of its squares.

    Parameters
    ----------
    values
        Shape (1, C, h, w).

    Returns
    -------
    Sums over what is above and left of each corner of a pixel, float64, shape (h + 1, w + 1, 2 C).
    """
    pixels = values[0].permute(1, 2, 0)
    if pixels.device.type == "mps":  # knows no float64
        pixels = pixels.cpu()
    height, width, channels = pixels.shape
    table = pixels.new_zeros((height + 1, width + 1, 2 * channels), dtype=torch.float64)
    inner = table[1:, 1:]
    inner[..., :channels] = pixels
    torch.square(inner[..., :channels], out=inner[..., channels:])
    torch.cumsum(inner, 0, out=inner)
    torch.cumsum(inner, 1, out=inner)
    return table


def box_sums(table: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return the sums over boxes.

    Parameters
    ----------
    table
        Of `summed_area`.
    lower, upper
        Corners of the boxes in pixels of the map, x then y, shape (n, 2); what lies beyond the map
        is not counted.

    Returns
    -------
    Shape (n, 2 C), float64, where the table lies.
    """
    height, width = table.shape[:2]
    most = lower.new_tensor([width - 1, height - 1])
    edges = torch.stack([lower, upper]).clamp(min=lower.new_zeros(2), max=most)
    at = edges.floor().clamp(max=most - 1)
    share = edges - at
    sign = lower.new_tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    weights = sign * torch.stack([1 - share, share], dim=1)
    corners = torch.stack([at, at + 1], dim=1).long()
    (x, y), (along_x, along_y) = (
        (each[..., 0].reshape(4, -1), each[..., 1].reshape(4, -1)) for each in (corners, weights)
    )
    index = (y[:, None] * width + x).reshape(16, -1).T.contiguous().to(table.device)
    weight = (along_y[:, None] * along_x).reshape(16, -1).T.contiguous().to(table.device)
    return embedding_bag(index, table.flatten(0, 1), per_sample_weights=weight, mode="sum")
