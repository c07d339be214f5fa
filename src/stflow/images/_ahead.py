"""Pure plumbing: work done in background threads, in order, no further ahead than told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
S = TypeVar("S")


def read_ahead(items: Iterator[T], *, depth: int) -> Generator[T, None, None]:
    """Iterate in a background thread.

    Parameters
    ----------
    items
        Advanced in that thread alone; closed at the end, if it can be.
    depth
        Number of items taken before they are asked for, at most.

    Yields
    ------
    The items in their order. An error while taking one is raised in its place.
    """
    end: Any = object()
    pool = ThreadPoolExecutor(1, "stflow-reader")
    try:
        waiting = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, items, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        close = getattr(items, "close", None)
        if close is not None:
            close()


def map_ahead(work: Callable[[T], S], items: Iterator[T], *, num_workers: int) -> Iterator[S]:
    """Apply a function in several threads, to two items for each thread ahead of time.

    Parameters
    ----------
    work
        Called in any of the threads.
    items
        Advanced in the calling thread.
    num_workers
        Number of threads. 1: the calling thread, nothing ahead of time.

    Yields
    ------
    The results in the order of the items. An error is raised in the place of its result.
    """
    if num_workers == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(num_workers, "stflow-worker")
    waiting: deque[Future[S]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
