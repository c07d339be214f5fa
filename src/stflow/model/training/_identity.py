"""What a training run computes, as plain values: two runs that agree give the same result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import methodcaller
from typing import Any

from stflow._digest import digest
from stflow.model._config import Config
from stflow.slide import Slide


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
