"""Code in the documentation calls what there is, with arguments that there are."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stflow as stf

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "generated", "notebooks"} & set(path.relative_to(ROOT).parts)
)
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def calls(text: str) -> Iterator[ast.Call]:
    """Calls of stflow in the Python blocks of a page."""
    for block in BLOCK.findall(text):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("stf."):
                yield node


def fault(call: ast.Call) -> str:
    """What is wrong with a call, empty when nothing is."""
    found: Any = stf
    for name in ast.unparse(call.func).split(".")[1:]:
        if not hasattr(found, name):
            return f"no {ast.unparse(call.func)}"
        found = getattr(found, name)
    spread = any(isinstance(each, ast.Starred) for each in call.args)
    places = [] if spread else call.args
    named = {word.arg: word for word in call.keywords if word.arg}
    try:
        inspect.signature(found).bind_partial(*places, **named)
    except TypeError as error:
        return f"{ast.unparse(call)}: {error}"
    return ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_call_what_there_is(path: Path):
    faults = [fault(call) for call in calls(path.read_text(encoding="utf-8"))]
    assert [each for each in faults if each] == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("stf.tl.fitt(slides)", "no stf.tl.fitt"),
        ("stf.tl.fit(slides, verbose=True)", "unexpected keyword"),
        ("stf.io.read_visium('outs', 'he.tif')", "too many positional"),
    ],
)
def test_wrong_calls_are_seen(code: str, wrong: str):
    (call,) = calls(f"```python\n{code}\n```\n")
    assert wrong in fault(call)
