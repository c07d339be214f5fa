"""What a training run computes, as plain values: two runs that agree give the same result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from operator import methodcaller
from typing import Any

import numpy as np

from stflow._slide import Slide
from stflow.model._config import Config

ROWS_AT_ONCE = 65536


def describe_run(
    slides: list[Slide],
    held_out: list[str],
    config: Config,
    *,
    seed: int,
    trainer_kwargs: Mapping[str, Any],
    **arguments: Any,
) -> dict[str, Any]:
    """Describe a run, as JSON gives it back.

    Parameters
    ----------
    slides
        Training slides; a digest stands for their values.
    held_out
        What each flow leaves out.
    config, seed, arguments
        All that the result depends on, but for the number of epochs.
    trainer_kwargs
        Arguments for lightning; of these the numbers and words, but for limits (``max_``).
    """
    plain = {
        name: value
        for name, value in trainer_kwargs.items()
        if isinstance(value, str | int | float | None) and not name.startswith("max_")
    }
    run = {
        **config.to_dict(),
        **arguments,
        "seed": seed,
        "trainer_kwargs": plain,
        "slides": [slide.name for slide in slides],
        "validation": held_out,
        "genes": slides[0].genes,
        "embedding of the slides": digest(slide.embedding for slide in slides),
        "expression of the slides": digest(slide.expression for slide in slides),
        "coordinates of the spots": digest(slide.coords for slide in slides),
        "graph of the spots": digest(
            part for slide in slides for part in (slide.graph.indptr, slide.graph.indices)
        ),
    }
    return json.loads(json.dumps(run, default=methodcaller("tolist")))


def digest(arrays: Iterator[Any]) -> str:
    """Digest of the values, shapes and types of arrays, read a block of rows at a time."""
    found = blake2b()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype};".encode())
        for start in range(0, len(array), ROWS_AT_ONCE):
            found.update(np.asarray(array[start : start + ROWS_AT_ONCE]).tobytes())
    return found.hexdigest()
