"""A walk down the tissue: the boxes of one band of spots after the other. Arrays and torch."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from stflow.embedding._boxes import Boxes, moments
from stflow.embedding._cache import DIGEST_BYTES, VectorCache
from stflow.embedding._maps import THUMB_STEP, Layer, Maps, Piece, lay_out, pieces_needed, tops
from stflow.embedding._outlines import Outlines, outline_moments
from stflow.embedding._pieces import Pieces
from stflow.encoders import Encoder, Reach, halo_px
from stflow.images import Level, looks_blank

BAND_PX = 2048
MOST_BOXES = 65536
DECIMALS = 6


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
class Band:
    """What was found of some spots.

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
    """Reads spots from the top down; memory holds the tissue of one band and its surroundings.

    Parameters
    ----------
    job
        What to read.
    spots
        Positions of these of its spots, from the top down.
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
        self.job, self.cache = job, cache
        self.widths_px = widths_px
        self.halo = halo_px(reaches)
        self.parts = self._cut(spots)
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
        self.maps = Maps(encoder, self.layers, self.pieces.pixels)

    def bands(self) -> Generator[Band, None, None]:
        """Read band after band."""
        with closing(self.pieces):
            rows = [self._around(spots).lower[:, 1].min() for spots in self.parts]
            highest = np.minimum.accumulate(rows[::-1])[::-1]
            for spots, row in zip(self.parts, highest, strict=True):
                above = tops(self.layers, row - self.aside)
                self.maps.let_go(above)
                self.pieces.let_go(above[0])
                yield self._band(spots, self._boxes(spots))

    def _cut(self, spots: np.ndarray) -> list[np.ndarray]:
        rows = (self.job.centres[spots, 1] // BAND_PX).astype(int)
        most = max(1, MOST_BOXES // len(self.widths_px))
        bands = np.split(spots, np.flatnonzero(np.diff(rows)) + 1)
        return [part for band in bands for part in np.array_split(band, -(-len(band) // most))]

    def _needed(self) -> set[Piece]:
        """Pieces of the image that some box depends on."""
        needed: set[Piece] = set()
        for spots in self.parts:
            boxes = self._around(spots)
            wanted = [set(boxes.by_piece(layer.piece)) for layer in self.layers]
            needed |= pieces_needed(self.layers, wanted)
            needed |= set(boxes.grown(self.halo).by_piece(self.layers[0].piece))
        return needed

    def _boxes(self, spots: np.ndarray) -> Boxes:
        """Put boxes around spots, those of a spot one after the other."""
        centres, half = self.job.centres[spots, None], self.widths_px[:, None] / 2
        return Boxes((centres - half).reshape(-1, 2), (centres + half).reshape(-1, 2))

    def _around(self, spots: np.ndarray) -> Boxes:
        """Put boxes around all that is read of spots."""
        boxes = self._boxes(spots)
        if self.job.outlines is None:
            return boxes
        bounds = self.job.outlines.take(spots).bounds()
        corners = ((boxes.lower, bounds.lower), (boxes.upper, bounds.upper))
        return Boxes(*map(np.concatenate, corners))

    @torch.inference_mode()
    def _band(self, spots: np.ndarray, boxes: Boxes) -> Band:
        n = len(self.widths_px)
        narrowest = np.arange(int(self.widths_px.argmin()), len(boxes), n)
        is_blank = self._is_blank(boxes.take(narrowest))
        parts: list[Boxes | Outlines] = [boxes]
        if self.job.outlines is not None:
            parts.append(self.job.outlines.take(spots))
        vectors, digests, made = zip(*map(self._look_up, parts), strict=True)
        of_spots = [each.reshape(len(spots), -1, each.shape[1]) for each in vectors]
        joined = of_spots[0] if len(parts) == 1 else np.concatenate(of_spots, axis=1)
        return Band(spots, joined, is_blank, np.concatenate(digests), np.concatenate(made))

    def _look_up(self, boxes: Boxes | Outlines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vectors, and digests and vectors of what no cache knew."""
        if self.cache is None:
            vectors = self._read(boxes)
            return vectors, np.empty(0), vectors[:0]
        digests = self._digests(boxes)
        known, found = self.cache.find(digests)
        made = self._read(boxes.take(np.flatnonzero(~known))) if not known.all() else found[:0]
        vectors = np.empty((len(boxes), found.shape[1]), dtype=np.float32)
        vectors[known], vectors[~known] = found, made
        return vectors, digests[~known], made

    def _read(self, boxes: Boxes | Outlines) -> np.ndarray:
        """Vectors of boxes or outlines, float32, shape (n, F)."""
        found = []
        for k, layer in enumerate(self.layers):
            pieces = (
                (layer.part(piece)[:2], at, self.maps.get(k, piece)[: len(layer.strides)])
                for piece, at in boxes.by_piece(layer.piece).items()
            )
            if isinstance(boxes, Outlines):
                found += outline_moments(boxes, layer.strides, pieces)
            else:
                found += moments(boxes, layer.strides, pieces)
            if layer.tile_step:
                bounds = boxes.bounds() if isinstance(boxes, Outlines) else boxes
                found.append(self._surroundings(bounds, k, layer))
        return np.concatenate(found, axis=1)

    def _surroundings(self, boxes: Boxes, k: int, layer: Layer) -> np.ndarray:
        """Read what tells of whole tiles, interpolated between those around the centre of a box.

        That is the mean over a box as wide as the step of the tiles.
        """
        around = boxes.around(layer.tile_step)
        pieces = (
            (layer.part(piece)[:2], at, self.maps.get(k, piece)[-1:])
            for piece, at in around.by_piece(layer.piece).items()
        )
        mean, _ = moments(around, [layer.tile_step], pieces)
        return mean

    def _is_blank(self, boxes: Boxes) -> np.ndarray:
        side = self.layers[0].piece
        pieces = (
            ((x * side, y * side), at, [self.pieces.thumb((x, y))])
            for (x, y), at in boxes.by_piece(side).items()
        )
        return looks_blank(*moments(boxes, [THUMB_STEP], pieces))

    def _digests(self, shapes: Boxes | Outlines) -> np.ndarray:
        """Tell each box or outline from any other: by its surroundings, and where it lies."""
        side = self.layers[0].piece
        boxes = shapes.bounds() if isinstance(shapes, Outlines) else shapes
        ranges = np.hstack(boxes.grown(self.halo).corners(side))
        groups, which = np.unique(ranges, axis=0, return_inverse=True)
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
            for group, place in zip(which.ravel(), places, strict=True)
        ]
        digests = np.array(told, dtype=f"S{DIGEST_BYTES}")
        if isinstance(shapes, Outlines):
            return shapes.told_apart(digests, corner, decimals=DECIMALS)
        return digests
