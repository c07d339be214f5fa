"""Slides one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stflow.cohort._folder import Folder
from stflow.cohort._manifest import Row
from stflow.cohort._plan import Plan
from stflow.cohort._state import FAILED, State
from stflow.cohort._work import work


def in_turn(rows: Sequence[Row], plan: Plan, folder: Folder, *, retries: int) -> Iterator[State]:
    """Do slides, and give the state of each when it is settled."""
    for row in rows:
        for _ in range(retries + 1):
            state = work(row, plan, folder)
            if state.state != FAILED or not state.passing:
                break
        yield state
