"""The pages on other packages, whose code these tests run as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def run_page() -> Callable[..., dict[str, Any]]:
    """Run the code under a heading of a page with names of ours, and return all names."""

    def run(heading: str, page: str = "interop.md", **names: Any) -> dict[str, Any]:
        section = (DOCS / page).read_text().split(f"\n## {heading}\n")[1].partition("\n## ")[0]
        for code in re.findall(r"```python\n(.*?)```", section, re.S):
            exec(compile(code, f"{page}: {heading}", "exec"), names)
        return names

    return run
