"""Who hears Ctrl-C; that processes share work is tested in tests/tl/test_fit_devices.py."""

from __future__ import annotations

import signal

import pytest

from stflow.model.training import _sharing
from stflow.model.training._sharing import on_interrupt


def test_the_first_ctrl_c_is_taken_and_a_later_one_is_heard(monkeypatch) -> None:
    told, now = [], [0.0]
    monkeypatch.setattr(_sharing.time, "monotonic", lambda: now[0])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with on_interrupt(lambda: told.append(now[0])):
            for now[0] in (10.0, 10.9):
                signal.raise_signal(signal.SIGINT)
            now[0] = 11.1
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert told == [10.0, 10.9]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with on_interrupt(lambda: told.append(0), once=False):
            for now[0] in (20.0, 30.0):
                signal.raise_signal(signal.SIGINT)
        assert told[2:] == [0, 0]
    finally:
        signal.signal(signal.SIGINT, before)
