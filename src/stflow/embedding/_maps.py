"""The maps of an image at one scale, made once, piece by piece, where they are asked for.

Positions are pixels of the image at the encoder's scale, x then y; pieces lie on the image's own
grid, so that a map does not depend on what else is read. Outside the image there is glass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, lcm, log2
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stflow.encoders import Encoder, Reach

HALOS = 8
LEAST_MAP = 64
THUMB_STEP = 4

Piece: TypeAlias = tuple[int, int]
"""Column and row of a piece of a stage."""
Box: TypeAlias = tuple[int, int, int, int]
"""Two corners in pixels of the image, x then y: x0, y0, x1, y1."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One stage, in pixels of the image.

    Parameters
    ----------
    reach
        The stage.
    stride
        Pixels of the image of a pixel of its input, along each side.
    piece
        Side of the pieces in which its maps are made, in pixels of the image.
    extent
        Part of the image where its maps are wanted.
    """

    reach: Reach
    stride: int
    piece: int
    extent: Box

    @property
    def halo(self) -> int:
        """Pixels of the image that a piece needs on each side."""
        return self.reach.halo * self.stride

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each of its maps: pixels of the image of one of its pixels."""
        return tuple(self.stride * each for each in self.reach.strides)

    @property
    def tile_step(self) -> int:
        """Pixels of the image between the tiles that it runs on; 0: on none."""
        return self.stride * self.reach.tile_step

    def part(self, piece: Piece) -> Box:
        """Return the part of a piece that is wanted."""
        x, y = piece[0] * self.piece, piece[1] * self.piece
        return _overlap((x, y, x + self.piece, y + self.piece), self.extent)

    def source(self, piece: Piece) -> Box:
        """Return what the maps of a piece depend on."""
        return _grown(self.part(piece), self.halo)


def lay_out(reaches: Sequence[Reach], extent: Sequence[float], *, piece: int) -> list[Layer]:
    """Give each stage the pieces in which it runs.

    Parameters
    ----------
    reaches
        The stages of a network.
    extent
        Around all that will be read, x0, y0, x1, y1, in pixels of the image.
    piece
        Least side of a piece in pixels, but for whole tiles; those of later stages, with wider
        halos, are larger.
    """
    strides = np.cumprod([1, *(reach.strides[-1] for reach in reaches)]).tolist()
    pairs = zip(strides, reaches, strict=False)
    step = max(stride * max(*reach.strides, reach.tile_step) for stride, reach in pairs)
    whole = lcm(step, THUMB_STEP)
    piece = -(-piece // whole) * whole
    x0, y0, x1, y1 = (int(each) for each in extent)
    wanted = (x0 // step * step, y0 // step * step, -(-x1 // step) * step, -(-y1 // step) * step)
    layers: list[Layer] = []
    for reach, stride in zip(reversed(reaches), reversed(strides[:-1]), strict=True):
        least = max(HALOS * reach.halo, LEAST_MAP) * stride
        side = piece * 2 ** max(0, ceil(log2(least / piece)))
        layers.append(Layer(reach, stride, side, wanted))
        halo = -(-layers[-1].halo // step) * step
        wanted = _grown(wanted, halo)
    return layers[::-1]


def pieces_needed(layers: Sequence[Layer], wanted: Sequence[set[Piece]]) -> set[Piece]:
    """Return the pieces of the first stage that pieces of all stages depend on."""
    needed: set[Piece] = set()
    for k in range(len(layers) - 1, -1, -1):
        here = needed | wanted[k]
        if k == 0:
            return here
        needed = {
            each
            for piece in here
            for each in _covering(layers[k].source(piece), layers[k - 1].piece)
        }
    return needed


def tops(layers: Sequence[Layer], row: float) -> list[float]:
    """Return the row at which the pieces of each stage start that boxes from a row on depend on."""
    found: list[float] = []
    for layer in reversed(layers):
        found.append(row // layer.piece * layer.piece)
        row = found[-1] - layer.halo
    return found[::-1]


class Maps:
    """The maps of an image, each piece made once and kept until it is let go.

    Parameters
    ----------
    encoder
        Its first stage takes what ``encoder.start`` makes of pixels.
    layers
        Its stages.
    pixels
        Gives the pixels of a piece of the first stage, halo included, uint8, shape (H, W, 3).
    """

    def __init__(
        self, encoder: Encoder, layers: Sequence[Layer], pixels: Callable[[Piece], np.ndarray]
    ) -> None:
        self.encoder, self.layers, self._pixels = encoder, layers, pixels
        self._made: list[dict[Piece, list[Tensor]]] = [{} for _ in layers]

    def get(self, k: int, piece: Piece) -> list[Tensor]:
        """Return the maps of a stage over a piece, each of shape (1, C, h, w).

        A stage that runs on tiles adds one that has a pixel a tile.
        """
        made = self._made[k]
        if piece not in made:
            first = k == 0
            before = self.encoder.start(self._pixels(piece)) if first else self._before(k, piece)
            made[piece] = self._run(k, before)
        return made[piece]

    def let_go(self, above: Sequence[float]) -> None:
        """Forget pieces that end above a row of the image, one for each stage."""
        for layer, made, row in zip(self.layers, self._made, above, strict=True):
            for piece in [p for p in made if (p[1] + 1) * layer.piece <= row]:
                del made[piece]

    def over(self, k: int, i: int, *, stride: int, box: Box, pieces: Iterable[Piece]) -> Tensor:
        """Join map i of a stage, of some stride, over a box; zero outside these pieces."""
        layer = self.layers[k]
        made = [(layer.part(piece), self.get(k, piece)[i]) for piece in pieces]
        return join(box, made, stride)

    def _before(self, k: int, piece: Piece) -> Tensor:
        """Join the map before a stage over what a piece depends on."""
        layer, before = self.layers[k], self.layers[k - 1]
        source = layer.source(piece)
        others = _covering(source, before.piece)
        made = [(before.part(other), self.get(k - 1, other)[-1]) for other in others]
        return join(source, made, layer.stride)

    @torch.inference_mode()
    def _run(self, k: int, features: Tensor) -> list[Tensor]:
        return self.layers[k].reach.run(features)


def join(box: Box, parts: Sequence[tuple[Box, Tensor]], stride: int) -> Tensor:
    """Put parts of a map of some stride together over a box, zero where there is none.

    Parameters
    ----------
    box
        Two corners in pixels of the image, multiples of the stride.
    parts
        At least one: where each lies, and its values, shape (1, C, h, w).
    stride
        Pixels of the image of a pixel of the map.
    """
    x0, y0, x1, y1 = box
    first = parts[0][1]
    shape = (1, first.shape[1], (y1 - y0) // stride, (x1 - x0) // stride)
    joined = first.new_zeros(shape).contiguous(memory_format=torch.channels_last)
    for part, values in parts:
        shared = _overlap(box, part)
        joined[_inside(shared, box, stride)] = values[_inside(shared, part, stride)]
    return joined


def _covering(box: Box, side: int) -> Iterable[Piece]:
    x0, y0, x1, y1 = box
    for row in range(y0 // side, -(-y1 // side)):
        for column in range(x0 // side, -(-x1 // side)):
            yield column, row


def _grown(box: Box, margin: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 - margin, y0 - margin, x1 + margin, y1 + margin


def _overlap(one: Box, other: Box) -> Box:
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )


def _inside(box: Box, whole: Box, stride: int) -> tuple[Any, ...]:
    """Index of a box in a map of a larger one."""
    x0, y0, x1, y1 = (
        (each - corner) // stride
        for each, corner in zip(box, (whole[0], whole[1]) * 2, strict=True)
    )
    return ..., slice(y0, y1), slice(x0, x1)
