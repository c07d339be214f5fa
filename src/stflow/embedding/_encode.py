"""The embedding engine: tiles read in the background, encoded, remembered. Arrays only."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from stflow._validation import require_finite
from stflow.embedding._cache import VectorCache, tile_digests
from stflow.images import map_ahead, read_ahead

if TYPE_CHECKING:
    from stflow.encoders import Encoder

BATCHES_AHEAD = 4


@dataclass(frozen=True, slots=True, eq=False)
class TileJob:
    """The tiles of one region at one scale, not read yet.

    Parameters
    ----------
    rows
        The region's rows of the result.
    scale
        Position of the scale.
    batches
        Gives positions in ``rows`` with their tiles.
    """

    rows: np.ndarray
    scale: int
    batches: Generator[tuple[np.ndarray, np.ndarray], None, None]


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Rows of the result and their tiles; the digests are empty without a cache."""

    rows: np.ndarray
    tiles: np.ndarray
    digests: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, at: slice | np.ndarray) -> _Batch:
        return _Batch(self.rows[at], self.tiles[at], self.digests[at])


def encode_tiles(
    jobs: Sequence[TileJob],
    encoders: Sequence[Encoder],
    *,
    shape: tuple[int, int, int],
    batch_size: int,
    cache: VectorCache | None,
    show_progress_bar: bool,
) -> np.ndarray:
    """Encode every tile, or find its vector in the cache.

    Parameters
    ----------
    jobs
        What to read.
    encoders
        Replicas of one encoder; batches go to whichever is free.
    shape
        Rows, scales and width of the result.
    batch_size
        Number of tiles to encode at a time.
    cache
        Asked before encoding, and told afterwards.
    show_progress_bar
        Whether to show progress, in tiles.

    Returns
    -------
    Vectors of each row at each scale, float32.

    Raises
    ------
    ValueError
        The encoder gives vectors of another width, or values that are not finite.
    OSError
        A tile cannot be read, or the cache cannot be written.
    """
    vectors = np.empty(shape, dtype=np.float32)
    total = shape[0] * shape[1]
    with tqdm(total=total, desc="Embedding", unit="tile", disable=not show_progress_bar) as bar:
        for job in jobs:
            own = vectors[:, job.scale]
            batches = read_ahead(_with_digests(job, cache is not None), depth=BATCHES_AHEAD)
            with closing(batches):
                unknown = _unknown(batches, own, cache, batch_size, bar)
                for batch, made in _encoded(unknown, encoders):
                    _check(made, encoders[0], len(batch), shape[2])
                    own[batch.rows] = made
                    if cache is not None:
                        cache.add(batch.digests, made)
                    bar.update(len(batch))
    return vectors


def _with_digests(job: TileJob, wanted: bool) -> Iterator[_Batch]:
    with closing(job.batches) as batches:
        for at, tiles in batches:
            digests = tile_digests(tiles) if wanted else np.empty(len(tiles), dtype="S0")
            yield _Batch(job.rows[at], tiles, digests)


def _unknown(
    batches: Iterator[_Batch],
    vectors: np.ndarray,
    cache: VectorCache | None,
    batch_size: int,
    bar: tqdm,
) -> Iterator[_Batch]:
    """Fill in what the cache knows; pass on the other tiles in full batches."""
    if cache is None:
        yield from batches
        return
    waiting: _Batch | None = None
    for batch in batches:
        known, found = cache.find(batch.digests)
        vectors[batch.rows[known]] = found
        bar.update(len(found))
        left = batch.take(~known) if known.any() else batch
        waiting = left if waiting is None else _join(waiting, left)
        if len(waiting) >= batch_size:
            yield waiting.take(slice(batch_size))
            waiting = waiting.take(slice(batch_size, None))
    if waiting is not None and len(waiting):
        yield waiting


def _join(first: _Batch, second: _Batch) -> _Batch:
    if not len(first):
        return second
    pairs = ((getattr(first, name), getattr(second, name)) for name in ("rows", "tiles", "digests"))
    return _Batch(*(np.concatenate(pair) for pair in pairs))


def _encoded(
    batches: Iterator[_Batch], encoders: Sequence[Encoder]
) -> Iterator[tuple[_Batch, np.ndarray]]:
    """Batches with their vectors, each made by an encoder that is free."""
    free: SimpleQueue[Encoder] = SimpleQueue()
    for encoder in encoders:
        free.put(encoder)

    def encode(batch: _Batch) -> tuple[_Batch, np.ndarray]:
        encoder = free.get()
        try:
            return batch, encoder.encode(batch.tiles)
        finally:
            free.put(encoder)

    return map_ahead(encode, batches, num_workers=len(encoders))


def _check(vectors: np.ndarray, encoder: Encoder, n_tiles: int, width: int) -> None:
    if vectors.shape != (n_tiles, width):
        raise ValueError(
            f"Encoder {encoder.name!r} gives vectors of {vectors.shape[1]} values, but of {width} "
            "for a white tile; every tile needs as many."
        )
    require_finite(vectors, what=f"The embedding by encoder {encoder.name!r}")
