"""A walk over the tissue: the boxes of one block of spots after the other. Arrays and torch."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stflow.embedding._boxes import Boxes, moments
from stflow.embedding._cache import DIGEST_BYTES, VectorCache
from stflow.embedding._maps import (
    THUMB_STEP,
    Box,
    Layer,
    Maps,
    Piece,
    join,
    lay_out,
    pieces_needed,
    tops,
)
from stflow.embedding._pieces import Pieces
from stflow.encoders import Encoder, Reach, halo_px
from stflow.images import Level, looks_blank

BLOCK_PX = 1536
MOST_SPOTS = 16384
DECIMALS = 6
GREY = torch.full((3,), 128.0)


@dataclass(frozen=True, slots=True, eq=False)
class AreaJob:
    """The spots of one region, on the image that they lie on.

    Parameters
    ----------
    rows
        The region's rows of the result, shape (N,).
    levels
        The pyramid of the image, level 0 first.
    centres
        Of the spots, in pixels of the encoder's scale, x then y, shape (N, 2).
    scale
        Level-0 pixels per pixel of the encoder.
    image_key
        What messages call the image.
    """

    rows: np.ndarray
    levels: Sequence[Level]
    centres: np.ndarray
    scale: float
    image_key: str


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found of the spots of a block.

    Parameters
    ----------
    spots
        Their positions, shape (n,).
    vectors
        Shape (n, boxes, F).
    is_blank
        Whether their narrowest box shows nothing, shape (n,).
    digests, made
        Of the boxes that no cache knew, and their vectors, shape (boxes, F).
    """

    spots: np.ndarray
    vectors: np.ndarray
    is_blank: np.ndarray
    digests: np.ndarray
    made: np.ndarray


class Walk:
    """Reads spots block by block, row after row; memory holds a row of blocks and what is around.

    Parameters
    ----------
    job
        What to read.
    spots
        Positions of these of its spots.
    encoder
        Makes the maps.
    reaches
        Its stages.
    piece
        Least side of the pieces in which they run, in pixels.
    widths_px
        Of the boxes, in pixels of the encoder's scale.
    num_workers
        Number of threads that cut pieces, beside the one that reads.
    cache
        Asked before encoding.
    """

    def __init__(
        self,
        job: AreaJob,
        spots: np.ndarray,
        *,
        encoder: Encoder,
        reaches: Sequence[Reach],
        piece: int,
        widths_px: np.ndarray,
        num_workers: int,
        cache: VectorCache | None,
    ) -> None:
        self.job, self.cache, self.widths_px = job, cache, widths_px.tolist()
        self.halo = halo_px(reaches)
        self.widest = max(*self.widths_px, *(reach.tile_step for reach in reaches))
        self.parts = _blocks(job.centres, spots)
        self.layers = lay_out(reaches, self._widest(spots).extent(), piece=piece)
        self.pieces = Pieces(
            job.levels,
            image_key=job.image_key,
            scale=job.scale,
            layer=self.layers[0],
            needed=self._needed(),
            num_workers=num_workers,
        )
        self.maps = Maps(encoder, self.layers, self.pieces.pixels)

    def blocks(self) -> Generator[Found, None, None]:
        """Read block after block."""
        with closing(self.pieces):
            for spots in self.parts:
                row = self.job.centres[spots, 1].min() // BLOCK_PX
                above = tops(self.layers, row * BLOCK_PX - self.widest / 2)
                self.maps.let_go(above)
                self.pieces.let_go(above[0])
                yield self._block(spots)

    def _widest(self, spots: np.ndarray) -> Boxes:
        return Boxes(self.job.centres[spots], self.widest)

    def _needed(self) -> set[Piece]:
        """Pieces of the image that some box depends on."""
        needed: set[Piece] = set()
        for spots in self.parts:
            boxes = self._widest(spots)
            wanted = [boxes.pieces(layer.piece) for layer in self.layers]
            needed |= pieces_needed(self.layers, wanted)
            needed |= boxes.grown(self.halo).pieces(self.layers[0].piece)
        return needed

    @torch.inference_mode()
    def _block(self, spots: np.ndarray) -> Found:
        boxes = [Boxes(self.job.centres[spots], width) for width in self.widths_px]
        is_blank = self._is_blank(min(boxes, key=lambda each: each.width))
        if self.cache is None:
            vectors = np.stack([self._read(each) for each in boxes], axis=1)
            return Found(spots, vectors, is_blank, np.empty(0), vectors[:0, 0])
        digests = np.stack([self._digests(each) for each in boxes], axis=1)
        known, found = self.cache.find(digests.ravel())
        known = known.reshape(digests.shape)
        vectors = np.empty((*digests.shape, found.shape[1]), dtype=np.float32)
        vectors[known] = found
        for i, each in enumerate(boxes):
            wanted = np.flatnonzero(~known[:, i])
            if len(wanted):
                vectors[wanted, i] = self._read(each.take(wanted))
        return Found(spots, vectors, is_blank, digests[~known], vectors[~known])

    def _read(self, boxes: Boxes) -> np.ndarray:
        """Vectors of boxes, float32, shape (n, F)."""
        found = []
        for k, layer in enumerate(self.layers):
            over = boxes.extent(max(layer.strides))
            maps = self.maps.over(k, over, boxes.pieces(layer.piece))
            for values, stride, level in zip(maps, layer.strides, layer.reach.levels, strict=False):
                found += self._moments(boxes, over, values, stride, level)
            if layer.tile_step:
                found.append(self._surroundings(boxes, k, layer))
        return np.concatenate(found, axis=1)

    def _surroundings(self, boxes: Boxes, k: int, layer: Layer) -> np.ndarray:
        """Read what tells of whole tiles, interpolated between those around the centre of a box.

        That is the mean over a box as wide as the step of the tiles.
        """
        step = layer.tile_step
        around = Boxes(boxes.centres, step)
        over = around.extent(step)
        values = self.maps.tiles_over(k, over, around.pieces(layer.piece))
        mean, _ = self._moments(around, over, values, step, layer.reach.levels[-1])
        return mean

    def _is_blank(self, boxes: Boxes) -> np.ndarray:
        side = self.layers[0].piece
        over = boxes.extent(THUMB_STEP)
        thumbs = [
            ((x * side, y * side, (x + 1) * side, (y + 1) * side), self.pieces.thumb((x, y)))
            for x, y in boxes.pieces(side)
        ]
        return looks_blank(
            *self._moments(boxes, over, join(over, thumbs, THUMB_STEP), THUMB_STEP, GREY)
        )

    @staticmethod
    def _moments(
        boxes: Boxes, over: Box, values: Tensor, stride: int, level: Tensor
    ) -> list[np.ndarray]:
        return moments(values, (boxes.lower - over[:2]) / stride, boxes.width / stride, level)

    def _digests(self, boxes: Boxes) -> np.ndarray:
        """Tell each box from any other: by the pixels that it depends on, and where it lies."""
        side = self.layers[0].piece
        ranges = np.hstack(boxes.grown(self.halo).corners(side))
        groups, which = np.unique(ranges, axis=0, return_inverse=True)
        around = [
            b"".join(
                self.pieces.digest((x, y)) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)
            )
            for x0, y0, x1, y1 in groups.tolist()
        ]
        corner = boxes.lower - ranges[:, :2] * side
        places = np.hstack([corner, corner + boxes.width]).round(DECIMALS) + 0.0
        told = [
            hashlib.sha256(around[group] + place.tobytes()).digest()[:DIGEST_BYTES]
            for group, place in zip(which.ravel(), places, strict=True)
        ]
        return np.array(told, dtype=f"S{DIGEST_BYTES}")


def _blocks(centres: np.ndarray, spots: np.ndarray) -> list[np.ndarray]:
    """Cut spots by blocks of the image, row after row, and crowded blocks from the top down."""
    x, y = centres[spots].T
    column, row = x // BLOCK_PX, y // BLOCK_PX
    order = np.lexsort((y, column, row))
    edges = np.flatnonzero(np.diff(column[order]) + np.diff(row[order])) + 1
    blocks = np.split(spots[order], edges)
    return [part for each in blocks for part in np.array_split(each, -(-len(each) // MOST_SPOTS))]
