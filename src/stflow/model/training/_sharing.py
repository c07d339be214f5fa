"""Work that is shared between devices, with a process for each that ends when it is done."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_info, threadpool_limits

from stflow.model.training._board import Board

IDLE_SECONDS, SAME_SECONDS = 1, 1.0
T = TypeVar("T")
Warned = list[tuple[str, type[Warning], str, int]]


def in_processes(
    work: Callable[..., T], shares: Sequence[dict[str, Any]], board: Board, *, hint: str
) -> list[T]:
    """Do each share of the work in a process of its own, which computes as this one would.

    The first Ctrl-C asks all, on the board, to stop; a second one ends them.

    Parameters
    ----------
    work
        Takes the words of a share.
    shares
        Words for each process.
    board
        Where processes look whether to stop.
    hint
        What to do when a process dies.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, twice or while processes were starting.
    RuntimeError
        A process died.
    """
    n_threads = torch.get_num_threads()
    settings: dict[str, Any] = {"inner_max_num_threads": n_threads}
    threads = n_threads, threadpool_info()
    with (
        on_interrupt(board.ask_to_stop),
        parallel_config(backend="loky", idle_worker_timeout=IDLE_SECONDS, **settings),
    ):
        try:
            found = Parallel(n_jobs=len(shares), mmap_mode="c")(
                delayed(_as_here)(work, share, threads) for share in shares
            )
        except BrokenProcessPool as error:
            if board.asked_to_stop:
                raise KeyboardInterrupt from error
            raise RuntimeError(
                f"A process that trained ended before its work was done. {hint} ({error})"
            ) from error
    for _, warned in found:
        for message in warned:
            warnings.warn_explicit(*message)
    return [each for each, _ in found]


def _as_here(
    work: Callable[..., T], share: dict[str, Any], threads: tuple[int, list[dict[str, Any]]]
) -> tuple[T, Warned]:
    """Work with as many threads as another process has; Ctrl-C is that one's to hear."""
    n_threads, pools = threads
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with (
            on_interrupt(lambda: None, once=False),
            threadpool_limits(pools),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("default")
            found = work(**share)
    finally:
        torch.set_num_threads(before)
    return found, [(str(w.message), w.category, w.filename, w.lineno) for w in caught]


@contextmanager
def on_interrupt(call: Callable[[], object], *, once: bool = True) -> Iterator[None]:
    """Let Ctrl-C call something instead, the first time or every time.

    What comes within a second of it is the same Ctrl-C, told by a launcher as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler
    heard: list[float] = []

    def hear(*_: object) -> None:
        now = time.monotonic()
        if once and heard and now - heard[0] > SAME_SECONDS:
            signal.signal(signal.SIGINT, before)
            signal.raise_signal(signal.SIGINT)
        heard.append(now)
        call()

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
