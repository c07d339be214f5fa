"""Vectors of boxes around spots, from one pass of the encoder over the tissue."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from stflow._sdata.places import PlacedSpots
from stflow._validation import warn
from stflow.embedding import AreaJob, Outlines, VectorCache, encode_area, piece_px
from stflow.images import Level, choose_level
from stflow.pp._look import Encode, Look

if TYPE_CHECKING:
    from stflow.encoders import Encoder, Reach

MOST_BYTES = 4 * 2**30
FRACTIONS = 4096


def by_area(
    places: Sequence[PlacedSpots],
    look: Look,
    reaches: Sequence[Reach],
    *,
    outlines: Sequence[Outlines] | None,
    num_workers: int,
    show_progress_bar: bool,
) -> Encode:
    """Prepare to read the boxes of all spots, in one pass for each scale.

    Parameters
    ----------
    places
        The spots of each region, on its image.
    look
        Widths and scales.
    reaches
        The stages of the encoder.
    outlines
        Of the spots of each region in pixels of its image, read at the scale of the narrowest box
        and last of their vectors; None: boxes alone.
    num_workers
        Number of threads that cut pieces of the image.
    show_progress_bar
        Whether to show progress, in boxes.

    Returns
    -------
    What runs the encoder over the tissue and reads them; vectors beyond 4 GiB lie in a temporary
    file.

    Raises
    ------
    ValueError
        The narrowest box is wider than an image.
    """
    _check_widths(places, look)
    narrowest = int(np.argmin(look.widths_um))

    def encode(
        encoders: Sequence[Encoder], shape: tuple[int, int, int], cache: VectorCache | None
    ) -> tuple[np.ndarray, dict[str, float]]:
        vectors = _room(shape)
        blank: dict[str, float] = {}
        total, hidden = shape[0] * shape[1], not show_progress_bar
        with tqdm(total=total, desc="Embedding", unit="box", disable=hidden) as bar:
            for first, last in _runs(look.mpp):
                mpp, columns = look.mpp[first], list(range(first, last))
                jobs = [_job(place, mpp) for place in places]
                if outlines is not None and first <= narrowest < last:
                    columns.append(len(look.widths_um))
                    jobs = [_with(*each) for each in zip(jobs, outlines, strict=True)]
                found = encode_area(
                    jobs,
                    encoders,
                    [_on(encoder, reaches) for encoder in encoders],
                    widths_px=[width / mpp for width in look.widths_um[first:last]],
                    vectors=vectors,
                    columns=columns,
                    piece=piece_px(encoders[0].device),
                    num_workers=num_workers,
                    cache=cache,
                    bar=bar,
                )
                if first <= narrowest < last:
                    names = (place.region.name for place in places)
                    blank = {n: float(each.mean()) for n, each in zip(names, found, strict=True)}
        return vectors, blank

    return encode


def _runs(scales: Sequence[float]) -> list[tuple[int, int]]:
    """First and one past the last of the neighbours that are of one scale."""
    edges = [0, *(np.flatnonzero(np.diff(scales)) + 1).tolist(), len(scales)]
    return list(pairwise(edges))


def _job(place: PlacedSpots, mpp: float) -> AreaJob:
    scale = _short(mpp / place.mpp, place.levels)
    centres = place.centres_px / scale
    return AreaJob(place.region.rows, place.levels, centres, scale, place.image_key)


def _with(job: AreaJob, outlines: Outlines) -> AreaJob:
    return replace(job, outlines=outlines.seen_from((0, 0), job.scale))


def _short(scale: float, levels: Sequence[Level]) -> float:
    """Round a scale so that Pillow's single precision holds every corner of a piece exactly."""
    step = choose_level(levels, scale).scale[0] / FRACTIONS
    return max(1, round(scale / step)) * step


def _on(encoder: Encoder, reaches: Sequence[Reach]) -> list[Reach]:
    """Pair the stages of a replica with their reach."""
    pairs = zip(reaches, encoder.stages, strict=True)
    return [replace(reach, stage=stage) for reach, stage in pairs]


def _check_widths(places: Sequence[PlacedSpots], look: Look) -> None:
    for place in places:
        longest = max(place.levels[0].size) * place.mpp
        if min(look.widths_um) > longest:
            raise ValueError(
                f"Boxes of {min(look.widths_um):.4g} um are wider than image {place.image_key!r}, "
                f"{longest:.4g} um. `widths_um=` is the field of view of a spot, such as 112."
            )
        if max(look.widths_um) > longest:
            warn(
                f"Boxes of {max(look.widths_um):.4g} um are wider than image {place.image_key!r}, "
                f"{longest:.4g} um, so that they show the glass around it."
            )


def _room(shape: tuple[int, int, int]) -> np.ndarray:
    """Make an array in memory, or on disk where it would take much of it.

    It is of no type of its own there, since anndata writes plain arrays alone.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= MOST_BYTES:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=np.float32, shape=shape, mode="r+").view(np.ndarray)
