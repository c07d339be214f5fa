from __future__ import annotations

import mmap
import time

import psutil
import pytest
import torch

from stflow.bench._measure import INTERVAL_S, MIB, Measure

CPU = torch.device("cpu")


def test_memory_that_is_let_go_again_counts():
    before = psutil.Process().memory_info().rss / MIB
    with Measure(CPU) as cost, mmap.mmap(-1, 200 * MIB) as block:
        block.write(bytes(200 * MIB))
        time.sleep(20 * INTERVAL_S)
    assert cost.peak_mib > before + 150
    assert cost.seconds > 0


def test_and_where_nothing_happens_it_is_what_was_there():
    before = psutil.Process().memory_info().rss / MIB
    with Measure(CPU) as cost:
        pass
    assert cost.peak_mib == pytest.approx(before, abs=50)


def test_an_error_passes_through():
    cost = Measure(CPU)
    with pytest.raises(KeyError, match="mine"), cost:
        raise KeyError("mine")
    assert cost.seconds >= 0
    assert not cost._sampler.is_alive()
