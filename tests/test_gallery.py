"""The gallery shows what its script draws: the same names, each picture small, each with words."""

from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "_static" / "gallery"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "draw_gallery.py"))


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


def test_page_pictures_and_script_have_the_same_names(script, page) -> None:
    drawn = {picture.__name__ for picture in script["PICTURES"]}
    shown = re.findall(r"^!\[.+\]\(_static/gallery/(\w+)\.png\)$", page, flags=re.MULTILINE)
    code = re.findall(r"^:pyobject: (\w+)$", page, flags=re.MULTILINE)
    assert sorted(shown) == sorted(drawn) == sorted(path.stem for path in PICTURES.iterdir())
    assert [name for name in code if name in drawn] == shown
    assert set(code) - drawn == {"tumour", "patients"}


def test_the_lines_shown_begin_after_def_and_docstring(script) -> None:
    for function in (script["tumour"], script["patients"], *script["PICTURES"]):
        _, said, *shown = inspect.getsource(function).splitlines()
        assert said.strip() == f'"""{function.__doc__}"""'
        assert any("stf." in line for line in shown)


def test_each_picture_is_described_as_its_code_says(script, page) -> None:
    for picture in script["PICTURES"]:
        assert f"![{picture.__doc__.rstrip('.')}](_static/gallery/{picture.__name__}.png)" in page


def test_pictures_are_small_and_not_empty(script) -> None:
    sizes = {path.stem: path.stat().st_size for path in PICTURES.iterdir()}
    assert max(sizes.values()) < script["MOST_BYTES"]
    assert sum(sizes.values()) < 1_500_000
    for path in PICTURES.iterdir():
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
