"""The page on other packages, whose code these tests run as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"


@pytest.fixture
def run_page() -> Callable[..., dict[str, Any]]:
    """Run the code under a heading of the page with names of ours, and return all names."""

    def run(heading: str, **names: Any) -> dict[str, Any]:
        section = PAGE.read_text().split(f"\n## {heading}\n")[1].partition("\n## ")[0]
        for code in re.findall(r"```python\n(.*?)```", section, re.S):
            exec(compile(code, f"{PAGE.name}: {heading}", "exec"), names)
        return names

    return run
