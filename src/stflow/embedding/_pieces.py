"""Pixels of an image at one scale, piece by piece, read in the background. Arrays and torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from stflow.embedding._cache import tile_digests
from stflow.embedding._maps import THUMB_STEP, Layer, Piece
from stflow.images import Level, read_ahead, read_tiles

PIECES_AHEAD = 4


class Pieces:
    """The pieces of the first stage, each read once and kept until it is let go.

    Parameters
    ----------
    levels
        The pyramid of the image, level 0 first.
    image_key
        What messages call the image.
    scale
        Level-0 pixels per pixel of the encoder.
    layer
        The first stage.
    needed
        The pieces that will be asked for.
    num_workers
        Number of threads that cut pieces, beside the one that reads.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        image_key: str,
        scale: float,
        layer: Layer,
        needed: Iterable[Piece],
        num_workers: int,
    ) -> None:
        self.layer, self.image_key = layer, image_key
        self._pieces = sorted(needed, key=lambda piece: piece[::-1])
        side = layer.piece + 2 * layer.halo
        centres = (np.array(self._pieces, dtype=np.float64) + 0.5) * layer.piece * scale
        tiles = read_tiles(
            levels,
            centres,
            size=side * scale,
            tile_px=side,
            batch_size=1,
            num_workers=num_workers,
        )
        self._reading = read_ahead(tiles, depth=PIECES_AHEAD)
        self._pixels: dict[Piece, np.ndarray] = {}
        self._thumbs: dict[Piece, np.ndarray] = {}
        self._digests: dict[Piece, bytes] = {}

    def pixels(self, piece: Piece) -> np.ndarray:
        """Hand out, once, the pixels that the maps of a piece depend on, uint8, shape (H, W, 3)."""
        self._read(piece)
        x0, y0, x1, y1 = self.layer.source(piece)
        left, top = (each * self.layer.piece - self.layer.halo for each in piece)
        return self._pixels.pop(piece)[y0 - top : y1 - top, x0 - left : x1 - left]

    def thumb(self, piece: Piece) -> Tensor:
        """Return every fourth pixel of a whole piece, uint8, shape (1, 3, h, w)."""
        self._read(piece)
        return torch.from_numpy(self._thumbs[piece]).permute(2, 0, 1)[None]

    def digest(self, piece: Piece) -> bytes:
        """Return the digest of the pixels of a piece with its halo."""
        self._read(piece)
        return self._digests[piece]

    def let_go(self, above: float) -> None:
        """Forget the pixels of pieces that end above a row."""
        for kept in (self._pixels, self._thumbs):
            for piece in [p for p in kept if (p[1] + 1) * self.layer.piece <= above]:
                del kept[piece]

    def close(self) -> None:
        """Stop reading."""
        self._reading.close()

    def _read(self, wanted: Piece) -> None:
        edge = self.layer.halo
        while wanted not in self._digests:
            (at,), (tile,) = self._next()
            piece = self._pieces[int(at)]
            self._pixels[piece] = tile
            inner = tile[edge : edge + self.layer.piece, edge : edge + self.layer.piece]
            self._thumbs[piece] = inner[::THUMB_STEP, ::THUMB_STEP].copy()
            (self._digests[piece],) = tile_digests(tile[None])

    def _next(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            return next(self._reading)
        except Exception as error:
            raise OSError(f"Image {self.image_key!r} could not be read: {error}") from error
