from __future__ import annotations

from pathlib import Path

import pytest

from stflow._report import without_paths
from stflow._report._words import number, percent


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Slide /home/anna/P1/a.svs cannot be read", "Slide a.svs cannot be read"),
        ("No store at '/data/a b/x'.", "No store at 'x'."),
        (r"no C:\Users\anna\slide.ndpi here", "no slide.ndpi here"),
        ("encoder=local-dir:/home/anna/enc, mpp=0.5", "encoder=local-dir:enc, mpp=0.5"),
        ("0.5 um/px, and/or 1/2", "0.5 um/px, and/or 1/2"),
    ],
)
def test_absolute_paths_are_cut(text: str, plain: str):
    assert without_paths(text, [Path("/data/a b")]) == plain


def test_figures_in_words():
    assert (percent(0.256), percent(0.256, 1), percent(None)) == ("26 %", "25.6 %", "–")
    assert (number(0.123), number(float("nan"))) == ("0.12", "–")
