"""The page of a cohort: a row a slide, with what calls for a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stflow import __version__
from stflow._report._page import render
from stflow._report._words import percent


@dataclass(frozen=True, slots=True)
class Line:
    """A slide of a cohort.

    Parameters
    ----------
    slide, state
        Its name, and how far it is.
    page
        Address of its page, seen from the index; ``""`` where there is none.
    spots, novelty, artifacts
        How many, the share that look unfamiliar, the share of their area on artifacts; None while
        unknown.
    warnings
        What was warned of.
    error
        Why it failed, or why there is no page.
    """

    slide: str
    state: str
    page: str = ""
    spots: int | None = None
    novelty: float | None = None
    artifacts: float | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""


def index_page(title: str, lines: Sequence[Line]) -> str:
    """Return the page, failed and unfamiliar slides first."""
    states = [line.state for line in lines]
    counted = [(state, states.count(state)) for state in dict.fromkeys(states)]
    ordered = sorted(lines, key=lambda line: (not line.error, -(line.novelty or 0.0), line.slide))
    return render(
        "index.html",
        title=title,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        counted=counted,
        spots=sum(line.spots or 0 for line in lines),
        lines=ordered,
        percent=percent,
    )
