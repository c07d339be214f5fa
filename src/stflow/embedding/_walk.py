"""A walk over the tissue: the boxes of one block of spots after the other. Arrays and torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from stflow.embedding._boxes import Boxes, box_moments, distinct
from stflow.embedding._cache import DIGEST_BYTES, VectorCache
from stflow.embedding._maps import (
    THUMB_STEP,
    Maps,
    Piece,
    join,
    lay_out,
    pieces_needed,
    tops,
)
from stflow.embedding._outlines import Outlines, outline_moments
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
    outlines
        Of the spots, in the same pixels as their centres, where these are read as well.
    """

    rows: np.ndarray
    levels: Sequence[Level]
    centres: np.ndarray
    scale: float
    image_key: str
    outlines: Outlines | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found of the spots of a block.

    Parameters
    ----------
    spots
        Their positions, shape (n,).
    vectors
        Of their boxes, and last of their outlines where these are read, shape (n, boxes, F).
    is_blank
        Whether their narrowest box shows nothing, shape (n,).
    digests, made
        Of what no cache knew, and its vectors.
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
    length
        Of a vector.
    num_workers
        Number of threads that cut pieces, beside the one that reads.
    cache
        Asked before encoding.
    on_piece
        Called before each piece of the image is encoded.
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
        length: int,
        num_workers: int,
        cache: VectorCache | None,
        on_piece: Callable[[], object],
    ) -> None:
        self.on_piece = on_piece
        self.job, self.cache, self.widths_px = job, cache, widths_px.tolist()
        self.length = length
        self.halo = halo_px(reaches)
        self.parts = _blocks(job.centres, spots)
        self.aside = max(reach.tile_step for reach in reaches) / 2
        extent = self._around(spots).grown(self.aside).extent()
        self.layers = lay_out(reaches, extent, piece=piece)
        self.pieces = Pieces(
            job.levels,
            image_key=job.image_key,
            scale=job.scale,
            layer=self.layers[0],
            needed=self._needed(),
            num_workers=num_workers,
        )
        self.maps = Maps(encoder, self.layers, self._pixels)

    def blocks(self) -> Generator[Found, None, None]:
        """Read block after block."""
        with closing(self.pieces):
            rows = [self._around(spots).lower[:, 1].min() for spots in self.parts]
            highest = np.minimum.accumulate(rows[::-1])[::-1]
            for spots, row in zip(self.parts, highest, strict=True):
                above = tops(self.layers, row - self.aside)
                self.maps.let_go(above)
                self.pieces.let_go(above[0])
                yield self._block(spots)

    def _pixels(self, piece: Piece) -> np.ndarray:
        self.on_piece()
        return self.pieces.pixels(piece)

    def _around(self, spots: np.ndarray) -> Boxes:
        """Put boxes around all that is read of spots."""
        boxes = Boxes.around(self.job.centres[spots], max(self.widths_px))
        outlines = self.job.outlines
        return boxes if outlines is None else boxes.beside(outlines.take(spots).bounds())

    def _needed(self) -> set[Piece]:
        """Pieces of the image that some box depends on."""
        needed: set[Piece] = set()
        for spots in self.parts:
            boxes = self._around(spots)
            wanted = [boxes.pieces(layer.piece) for layer in self.layers]
            needed |= pieces_needed(self.layers, wanted)
            needed |= boxes.grown(self.halo).pieces(self.layers[0].piece)
        return needed

    @torch.inference_mode()
    def _block(self, spots: np.ndarray) -> Found:
        centres = self.job.centres[spots]
        shapes: list[Boxes | Outlines] = [Boxes.around(centres, each) for each in self.widths_px]
        if self.job.outlines is not None:
            shapes.append(self.job.outlines.take(spots))
        is_blank = self._is_blank(Boxes.around(centres, min(self.widths_px)))
        vectors = np.empty((len(spots), len(shapes), self.length), dtype=np.float32)
        digests, made = zip(*map(self._fill, shapes, vectors.swapaxes(0, 1)), strict=True)
        return Found(spots, vectors, is_blank, np.concatenate(digests), np.concatenate(made))

    def _fill(self, shapes: Boxes | Outlines, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fill in vectors; return digests and vectors of what no cache knew."""
        if self.cache is None:
            self._read(shapes, vectors)
            return np.empty(0), vectors[:0]
        digests = self._digests(shapes)
        known, found = self.cache.find(digests)
        made = np.empty((np.count_nonzero(~known), self.length), dtype=np.float32)
        if len(made):
            self._read(shapes.take(np.flatnonzero(~known)), made)
        vectors[known], vectors[~known] = found, made
        return digests[~known], made

    def _read(self, shapes: Boxes | Outlines, vectors: np.ndarray) -> None:
        """Read vectors of boxes or outlines, shape (n, F)."""
        last = 0
        for part in self._parts(shapes):
            first, last = last, last + part.shape[1]
            vectors[:, first:last] = part

    def _parts(self, shapes: Boxes | Outlines) -> Iterator[np.ndarray]:
        for k, layer in enumerate(self.layers):
            for i, stride in enumerate(layer.strides):
                yield from self._moments(shapes, k, i, stride)
            if layer.tile_step:
                yield self._surroundings(shapes.bounds(), k)

    def _surroundings(self, bounds: Boxes, k: int) -> np.ndarray:
        """Read what tells of whole tiles, interpolated between those around the centre of a box.

        That is the mean over a box as wide as the step of the tiles.
        """
        step = self.layers[k].tile_step
        mean, _ = self._moments(Boxes.around(bounds.centres, step), k, -1, step)
        return mean

    def _moments(self, shapes: Boxes | Outlines, k: int, i: int, stride: int) -> list[np.ndarray]:
        """Read mean and deviation of map i of a stage."""
        layer, bounds = self.layers[k], shapes.bounds()
        box = bounds.extent(stride)
        pieces = bounds.pieces(layer.piece)
        values = self.maps.over(k, i, stride=stride, box=box, pieces=pieces)
        level, here = layer.reach.levels[i], shapes.seen_from(box[:2], stride)
        if isinstance(here, Outlines):
            return outline_moments(values, here, level)
        return box_moments(values, here, level)

    def _is_blank(self, boxes: Boxes) -> np.ndarray:
        side, box = self.layers[0].piece, boxes.extent(THUMB_STEP)
        thumbs = [
            ((x * side, y * side, (x + 1) * side, (y + 1) * side), self.pieces.thumb((x, y)))
            for x, y in boxes.pieces(side)
        ]
        here = boxes.seen_from(box[:2], THUMB_STEP)
        return looks_blank(*box_moments(join(box, thumbs, THUMB_STEP), here, GREY))

    def _digests(self, shapes: Boxes | Outlines) -> np.ndarray:
        """Tell each box or outline from any other: by its surroundings, and where it lies."""
        side, boxes = self.layers[0].piece, shapes.bounds()
        ranges = np.hstack(boxes.grown(self.halo).corners(side))
        groups, which = distinct(ranges)
        around = [
            b"".join(
                self.pieces.digest((x, y)) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)
            )
            for x0, y0, x1, y1 in groups.tolist()
        ]
        corner = ranges[:, :2] * side
        places = np.hstack([boxes.lower - corner, boxes.upper - corner]).round(DECIMALS) + 0.0
        told = [
            hashlib.sha256(around[group] + place.tobytes()).digest()[:DIGEST_BYTES]
            for group, place in zip(which, places, strict=True)
        ]
        digests = np.array(told, dtype=f"S{DIGEST_BYTES}")
        if isinstance(shapes, Outlines):
            return shapes.told_apart(digests, corner, decimals=DECIMALS)
        return digests


def _blocks(centres: np.ndarray, spots: np.ndarray) -> list[np.ndarray]:
    """Cut spots by blocks of the image, row after row, and crowded blocks from the top down."""
    x, y = centres[spots].T
    column, row = x // BLOCK_PX, y // BLOCK_PX
    order = np.lexsort((y, column, row))
    edges = np.flatnonzero(np.diff(column[order]) + np.diff(row[order])) + 1
    blocks = np.split(spots[order], edges)
    return [part for each in blocks for part in np.array_split(each, -(-len(each) // MOST_SPOTS))]
