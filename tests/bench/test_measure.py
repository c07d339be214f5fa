from __future__ import annotations

import mmap
import time

import numpy as np
import psutil
import pytest
import torch

from stflow.bench._measure import INTERVAL_S, MIB, Measure, let_go

CPU = torch.device("cpu")


def resident() -> float:
    """Memory of this process without what earlier tests left."""
    let_go()
    return psutil.Process().memory_info().rss / MIB


def test_memory_that_is_let_go_again_counts():
    before = resident()
    with Measure(CPU) as cost, mmap.mmap(-1, 200 * MIB) as block:
        block.write(bytes(200 * MIB))
        time.sleep(20 * INTERVAL_S)
    assert cost.peak_mib > before + 150
    assert cost.seconds > 0


@pytest.mark.skipif(not hasattr(psutil, "heap_trim"), reason="this system keeps freed memory")
def test_memory_of_something_earlier_does_not():
    small = [np.ones(2000) for _ in range(20_000)]
    before = psutil.Process().memory_info().rss / MIB
    kept = small[-1]
    del small
    let_go()
    with Measure(CPU) as cost:
        pass
    assert cost.peak_mib < before - 150
    assert kept.size


def test_and_where_nothing_happens_it_is_what_was_there():
    before = resident()
    with Measure(CPU) as cost:
        pass
    assert cost.peak_mib == pytest.approx(before, abs=50)


def test_an_error_passes_through():
    cost = Measure(CPU)
    with pytest.raises(KeyError, match="mine"), cost:
        raise KeyError("mine")
    assert cost.seconds >= 0
    assert not cost._sampler.is_alive()
