"""Work in background threads: order, bounds, errors, a clean stop."""

from __future__ import annotations

import threading
import time

import pytest

from stflow.images import map_ahead, read_ahead


def reader_threads() -> int:
    return sum(thread.name.startswith("stflow-") for thread in threading.enumerate())


def test_items_come_in_order_and_from_another_thread():
    def items():
        for i in range(20):
            yield i, threading.get_ident()

    got = list(read_ahead(items(), depth=3))
    assert [i for i, _ in got] == list(range(20))
    assert {thread for _, thread in got}.isdisjoint({threading.get_ident()})
    assert reader_threads() == 0


def test_no_further_ahead_than_told():
    taken = []

    def items():
        for i in range(50):
            taken.append(i)
            yield i

    ahead = read_ahead(items(), depth=4)
    for used, _ in enumerate(ahead, start=1):
        time.sleep(0.002)
        assert len(taken) <= used + 4
    assert len(taken) == 50


def test_reading_goes_on_while_an_item_is_used():
    second = threading.Event()

    def items():
        yield 1
        second.set()
        yield 2

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 1
    assert second.wait(10)
    ahead.close()


def test_an_error_comes_in_its_place():
    def items():
        yield from (1, 2)
        raise OSError("bad bytes")

    ahead = read_ahead(items(), depth=5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="bad bytes"):
        next(ahead)
    assert reader_threads() == 0


@pytest.mark.parametrize("reason", [KeyboardInterrupt, None])
def test_stopping_early_ends_the_thread_and_closes_the_items(reason):
    closed = threading.Event()

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    ahead = read_ahead(items(), depth=2)
    next(ahead)
    if reason is None:
        ahead.close()
    else:
        with pytest.raises(reason):
            ahead.throw(reason)
    assert closed.is_set()
    assert reader_threads() == 0


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(num_workers):
    def slow_first(i):
        time.sleep(0.01 if i % 5 == 0 else 0)
        return i * i

    got = list(map_ahead(slow_first, iter(range(23)), num_workers=num_workers))
    assert got == [i * i for i in range(23)]


def test_several_threads_work_at_once():
    both = threading.Barrier(2, timeout=10)
    list(map_ahead(lambda _: both.wait(), iter(range(4)), num_workers=2))
    with pytest.raises(threading.BrokenBarrierError):
        list(map_ahead(lambda _: threading.Barrier(2).wait(0.01), iter([0]), num_workers=1))


def test_items_are_not_all_taken_ahead_of_time():
    taken = []
    items = (taken.append(i) or i for i in range(1000))
    results = map_ahead(lambda i: i, items, num_workers=2)
    next(results)
    assert len(taken) <= 6
    results.close()
    assert reader_threads() == 0


def test_an_error_of_the_work_is_raised():
    def work(i):
        if i == 3:
            raise ValueError("not three")
        return i

    results = map_ahead(work, iter(range(9)), num_workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="not three"):
        next(results)
    assert reader_threads() == 0
