"""One pass over the tissue: maps made once, and read in boxes around each spot. Arrays only."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from stflow._validation import require_finite
from stflow.embedding._cache import VectorCache
from stflow.embedding._walk import AreaJob, Found, Walk
from stflow.images import read_ahead

if TYPE_CHECKING:
    from stflow.encoders import Encoder, Reach


def encode_area(
    jobs: Sequence[AreaJob],
    encoders: Sequence[Encoder],
    reaches: Sequence[Sequence[Reach]],
    *,
    widths_px: Sequence[float],
    vectors: np.ndarray,
    columns: Sequence[int],
    piece: int,
    num_workers: int,
    cache: VectorCache | None,
    bar: tqdm,
) -> list[np.ndarray]:
    """Fill in the vectors of all spots: mean and standard deviation of each map over boxes.

    Parameters
    ----------
    jobs
        What to read.
    encoders
        Replicas of one encoder, which share the tissue.
    reaches
        The stages of each.
    widths_px
        Of the boxes, in pixels of the encoder's scale.
    vectors
        Written to, float32, shape (rows, V, F).
    columns
        Which of the V vectors of a spot these are: its boxes, and then its outline where jobs
        have these.
    piece
        Least side of the pieces in which stages run, in pixels.
    num_workers
        Number of threads that cut pieces, beside the one that reads.
    cache
        Asked before encoding, and told afterwards.
    bar
        Told of progress, in boxes, and of each piece of the tissue that is encoded before.

    Returns
    -------
    Of each job, which spots show nothing in their narrowest box, shape (N,).

    Raises
    ------
    ValueError
        The encoder gives values that are not finite.
    OSError
        The image cannot be read, or the cache cannot be written.
    """
    blank = [np.zeros(len(job.rows), dtype=bool) for job in jobs]
    widths = np.asarray(widths_px, dtype=np.float64)
    pieces = count(1)
    how: dict[str, Any] = {
        "piece": piece,
        "widths_px": widths,
        "length": vectors.shape[2],
        "num_workers": num_workers,
        "cache": cache,
        "on_piece": lambda: bar.set_postfix(pieces=next(pieces)),
    }
    for job, is_blank in zip(jobs, blank, strict=True):
        shares = zip(_shares(job, encoders), encoders, reaches, strict=True)
        walks = [
            Walk(job, spots, encoder=encoder, reaches=own, **how)
            for spots, encoder, own in shares
            if len(spots)
        ]
        for found in _together([walk.blocks() for walk in walks]):
            require_finite(found.vectors, what=f"The embedding by encoder {encoders[0].name!r}")
            vectors[job.rows[found.spots][:, None], columns] = found.vectors
            is_blank[found.spots] = found.is_blank
            if cache is not None:
                cache.add(found.digests, found.made)
            bar.update(found.vectors.shape[0] * found.vectors.shape[1])
    return blank


def _shares(job: AreaJob, encoders: Sequence[Encoder]) -> list[np.ndarray]:
    """Positions of the spots from the top down, as many for each encoder."""
    return np.array_split(np.argsort(job.centres[:, 1], kind="stable"), len(encoders))


def _together(walks: Sequence[Generator[Found, None, None]]) -> Iterator[Found]:
    """Blocks of several walks by turns, each of which goes on in a thread of its own."""
    with ExitStack() as stack:
        ahead = deque(stack.enter_context(closing(read_ahead(walk, depth=1))) for walk in walks)
        while ahead:
            walk = ahead.popleft()
            found = next(walk, None)
            if found is not None:
                ahead.append(walk)
                yield found
