"""Figures as text, and text without the places of files on the machine that made it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

ABSOLUTE = re.compile(r"(?:(?<![\w/.\\])[A-Za-z]:)?(?<![\w/.<])[\\/](?:[^\\/\s'\"`,;:()]+[\\/])+")


def percent(share: float | None, digits: int = 0) -> str:
    """Tell a share in per cent; a dash where it is unknown."""
    return "–" if share is None or not np.isfinite(share) else f"{100 * share:.{digits}f} %"


def number(value: float) -> str:
    """Tell a score; a dash where it is undefined."""
    return f"{value:.2f}" if np.isfinite(value) else "–"


def without_paths(text: str, known: Iterable[Path] = ()) -> str:
    """Shorten absolute paths to their last part; ``known`` folders may hold spaces."""
    for folder in sorted((str(each) for each in known), key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(folder, Path(folder).name)
    return ABSOLUTE.sub("", text)
