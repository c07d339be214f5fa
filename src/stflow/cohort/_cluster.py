"""Slides on the workers of a dask.distributed client, one task a slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stflow._workers import share
from stflow.cohort._folder import Folder
from stflow.cohort._manifest import Row
from stflow.cohort._plan import Plan
from stflow.cohort._state import DONE, FAILED, State
from stflow.cohort._work import work

if TYPE_CHECKING:
    from distributed import Client, Future


def on_cluster(
    rows: Sequence[Row], plan: Plan, folder: Folder, *, retries: int, client: Client
) -> Iterator[State]:
    """Do slides on workers, and give the state of each when it is settled.

    Raises
    ------
    RuntimeError
        The scheduler is gone.
    """
    from distributed import as_completed

    token = uuid4().hex[:8]
    shared = share(client, plan)
    tries = dict.fromkeys((row.slide for row in rows), 0)

    def submit(row: Row) -> Future:
        tries[row.slide] += 1
        key = f"slide-{token}-{row.slide}-{tries[row.slide]}"
        return client.submit(work, row, shared, folder, key=key, pure=False)

    by_future: dict[Any, Row] = {submit(row): row for row in rows}
    coming = as_completed(list(by_future))
    try:
        for future in coming:
            row = by_future.pop(future)
            state = _settled(future, row, folder)
            if state is None:
                raise RuntimeError(
                    "The scheduler is gone, and with it what was queued. Finished slides are in "
                    f"{folder.path}; the same call goes on, with a client of another."
                )
            if state.state == FAILED and state.passing and tries[row.slide] <= retries:
                again = submit(row)
                by_future[again] = row
                coming.add(again)
            else:
                yield state
    finally:
        client.cancel(list(by_future), force=True)


def _settled(future: Future, row: Row, folder: Folder) -> State | None:
    """Return how a slide ended; None where nobody knows, since the scheduler is gone."""
    if future.status == "finished":
        return future.result()
    if future.status != "error":
        return None
    error = future.exception()
    if isinstance(error, CancelledError):
        return None
    state = folder.state(row)
    if state.state == DONE:
        return state
    told = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return replace(state, state=FAILED, error=told, passing=True)
