"""What a training run computes, as plain values: two runs that agree give the same result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stflow._digest import digest, tensors_digest
from stflow._schedule import Schedule
from stflow.model._config import Config
from stflow.model.training._start import Start
from stflow.slide import Slide


def describe_run(
    slides: list[Slide],
    held_out: list[str],
    config: Config,
    schedule: Schedule,
    *,
    seed: int,
    trainer_kwargs: Mapping[str, Any],
    start: Start | None = None,
) -> dict[str, Any]:
    """Describe a run.

    Parameters
    ----------
    slides
        Training slides; a digest stands for their values.
    held_out
        What each flow leaves out.
    config, schedule, seed
        All that the result depends on, but for the number of epochs.
    trainer_kwargs
        Arguments for lightning; of these the numbers and words, but for limits (``max_``).
    start
        What all flows start from, if anything.
    """
    plain = {
        name: value
        for name, value in trainer_kwargs.items()
        if isinstance(value, str | int | float | None) and not name.startswith("max_")
    }
    learning = asdict(schedule)
    del learning["max_epochs"]
    return {
        **config.to_dict(),
        **learning,
        "seed": seed,
        "trainer_kwargs": plain,
        "start": None if start is None else tensors_digest(start.tensors()),
        "slides": [slide.name for slide in slides],
        "patients": [slide.patient for slide in slides],
        "validation": held_out,
        "genes": slides[0].genes,
        "units": slides[0].units,
        "embedding of the slides": digest(slide.embedding for slide in slides),
        "expression of the slides": digest(slide.expression for slide in slides),
        "other genes of the slides": digest(
            slide.auxiliary for slide in slides if slide.auxiliary is not None
        ),
        "totals of the spots": digest(slide.totals for slide in slides if slide.totals is not None),
        "coordinates of the spots": digest(slide.coords for slide in slides),
        "graph of the spots": digest(
            part for slide in slides for part in (slide.graph.indptr, slide.graph.indices)
        ),
    }
