"""The tiles around spots that lie on images."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stflow._sdata.places import PlacedSpots
from stflow.embedding import TileJob, VectorCache, encode_tiles
from stflow.images import read_tiles
from stflow.pp._blank import BlankCount
from stflow.pp._look import Encode, Look

if TYPE_CHECKING:
    from stflow.encoders import Encoder


def by_tiles(
    places: Sequence[PlacedSpots],
    look: Look,
    *,
    batch_size: int,
    num_workers: int,
    show_progress_bar: bool,
) -> Encode:
    """Lay out the tiles of all spots at each width.

    Parameters
    ----------
    places
        The spots of each region, on its image.
    look
        Widths and scales.
    batch_size
        Number of tiles to encode at a time.
    num_workers
        Number of threads that cut tiles.
    show_progress_bar
        Whether to show progress, in tiles.

    Returns
    -------
    What reads and encodes them.

    Raises
    ------
    ValueError
        A tile spans more pixels than are read at once.
    """
    blank = {place.region.name: BlankCount() for place in places}
    cutting = {"tile_px": look.tile_px, "batch_size": batch_size, "num_workers": num_workers}
    jobs = []
    for scale, mpp in enumerate(look.mpp):
        for place in places:
            job = _job(place, scale, mpp, **cutting)
            is_closest = scale == int(np.argmin(look.mpp))
            jobs.append(blank[place.region.name].watch(job) if is_closest else job)

    def encode(
        encoders: Sequence[Encoder], shape: tuple[int, int, int], cache: VectorCache | None
    ) -> tuple[np.ndarray, dict[str, float]]:
        vectors = encode_tiles(
            jobs,
            encoders,
            shape=shape,
            batch_size=batch_size,
            cache=cache,
            show_progress_bar=show_progress_bar,
        )
        return vectors, {name: count.share for name, count in blank.items()}

    return encode


def _job(place: PlacedSpots, scale: int, mpp: float, *, tile_px: int, **cutting: int) -> TileJob:
    size = tile_px * mpp / place.mpp
    tiles = read_tiles(place.levels, place.centres_px, size=size, tile_px=tile_px, **cutting)
    return TileJob(place.region.rows, scale, _blaming(place.image_key, tiles))


def _blaming(
    image_key: str, batches: Iterator[tuple[np.ndarray, np.ndarray]]
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Pass batches on; an error while reading them names the image."""
    try:
        yield from batches
    except Exception as error:
        raise OSError(f"Image {image_key!r} could not be read: {error}") from error
