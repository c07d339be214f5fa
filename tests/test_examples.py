"""Examples in docstrings run as they stand, where they take milliseconds."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import stflow as stf

# Examples that run networks, find tissue or import squidpy: the tests of these calls do that.
LONG = {
    "pp.detect_tissue",
    "pp.embed",
    "pp.grid",
    "pp.mask_artifacts",
    "pp.neighbors",
    "pp.normalize_stain",
    "pl.spots",
    "baselines.Baseline",  # run in tests/baselines, on slides of its own
}
OPTIONS = doctest.NORMALIZE_WHITESPACE


def examples(name: str, thing: Any) -> list[doctest.DocTest]:
    """Examples of a public name that are meant to run."""
    text = inspect.getdoc(thing) or ""
    test = doctest.DocTestParser().get_doctest(text, {"stf": stf}, name, None, 0)
    run = [each for each in test.examples if not each.options.get(doctest.SKIP)]
    return [test] if run else []


def documented() -> Iterator[tuple[str, Any]]:
    """Every public name, also of a part, and what it is."""
    for name in sorted(set(stf.__all__) - {"__version__"}):
        thing = getattr(stf, name)
        if inspect.ismodule(thing):
            yield from ((f"{name}.{each}", getattr(thing, each)) for each in thing.__all__)
        else:
            yield name, thing


FOUND = {name: examples(name, thing) for name, thing in documented()}
SHORT = [name for name in FOUND if FOUND[name] and name not in LONG]


@pytest.mark.parametrize("name", SHORT)
def test_examples_run(name: str):
    for test in FOUND[name]:
        assert doctest.DocTestRunner(optionflags=OPTIONS).run(test).failed == 0


def test_there_are_examples_and_wrong_ones_fail(capsys):
    assert {"metrics.pearson", "datasets.synthetic", "encoders.list", "Config"} <= set(SHORT)
    assert all(FOUND[name] for name in LONG)
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(wrong).failed == 1
    assert "Expected" in capsys.readouterr().out
