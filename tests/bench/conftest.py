from __future__ import annotations

import pytest
from toys import Broken, Peek, Reds, Shade, make_source, only

from stflow._splits import Split
from stflow.bench._task import Task


@pytest.fixture
def task() -> Task:
    """Three slides, each left out in turn."""
    names = ("a", "b", "c")
    splits = tuple(
        Split(name, tuple(each for each in names if each != name), (name,)) for name in names
    )
    return Task("toy", {name: make_source(i) for i, name in enumerate(names)}, splits)


@pytest.fixture
def methods(monkeypatch):
    """Methods that take no time."""
    found = {"reds": Reds, "shade": Shade, "broken": Broken, "peek": Peek}
    only(monkeypatch, found)
    monkeypatch.setattr(Reds, "n_fits", 0)
    return found
