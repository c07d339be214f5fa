"""Which recipes give the same embedding, and what is said where they do not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from stflow._sdata import describe_recipe, require_same_recipe

MADE: dict[str, Any] = {
    "encoder": "colours",
    "tile_px": 224,
    "widths_um": [112.0, 224.0],
    "mpp": [0.5, 1.0],
    "width": 12,
}


def require(**changes: Any) -> None:
    """Compare with a recipe that says something else; None: nothing."""
    other = {name: value for name, value in {**MADE, **changes}.items() if value is not None}
    require_same_recipe(other, MADE, what="this slide", other="the model")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"widths_um": None},
        {"mpp": [0.5 * (1 + 1e-9), 1.0]},
        {"mpp": np.array([0.5, 1.0])},
        {"versions": {"torch": "9"}, "blank": {"spots": 0.1}, "precision": "bfloat16"},
    ],
)
def test_same(changes: dict[str, Any]) -> None:
    require(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mpp": [0.5]}, r"\(mpp=\[0.5\]\) is not that of the model \(mpp=\[0.5, 1.0\]\)"),
        ({"mpp": [1.0, 0.5]}, r"mpp=\[1.0, 0.5\]"),
        ({"mpp": [0.5, 1.001]}, r"mpp=\[0.5, 1.001\]"),
        ({"mpp": [[0.5, 1.0]]}, "mpp="),
        ({"mpp": "0.5"}, r"mpp='0.5'"),
        ({"mpp": None}, r"\(no recipe\) is not that of the model \(mpp="),
        ({"tile_px": 225}, r"\(tile_px=225\)"),
        ({"encoder": "uni", "widths_um": None}, r"\(encoder='uni'\) .*\(encoder='colours', widths"),
        (
            {"widths_um": [112.0], "mpp": [0.5], "width": 6},
            r"\(widths_um=\[112.0\], mpp=\[0.5\], width=6\).*\(widths_um=\[112.0, 224.0\], mpp=",
        ),
    ],
)
def test_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require(**changes)


def test_an_encoder_of_a_folder_is_told_by_its_weights_and_not_by_its_place() -> None:
    made = {**MADE, "encoder": "local-dir:/theirs", "weights_sha256": "ab"}
    wanted = {**made, "encoder": "local-dir:"}
    require_same_recipe(made, wanted, what="this slide", other="the model")
    for other in ({"weights_sha256": "cd"}, {"encoder": "uni"}):
        with pytest.raises(ValueError, match=next(iter(other))):
            require_same_recipe({**made, **other}, wanted, what="this slide", other="the model")


def test_widths_decide_where_no_scales_are_known() -> None:
    """As in the recipe of features that another package computed."""
    made, how = {"encoder": "uni", "widths_um": 112}, {"what": "this slide", "other": "the model"}
    require_same_recipe(made, {**made, "widths_um": 112.0}, **how)
    with pytest.raises(ValueError, match=r"\(widths_um=112\) is not .*\(widths_um=224\)"):
        require_same_recipe(made, {**made, "widths_um": 224}, **how)
    with pytest.raises(ValueError, match=r"\(widths_um=112\) is not .*\(mpp=0.5\)"):
        require_same_recipe(made, {"encoder": "uni", "mpp": 0.5}, **how)


@pytest.mark.parametrize(
    ("recipe", "call"),
    [
        (
            {"how": "area", "widths_um": [112.0], "mpp": [0.5], "outlines": True},
            "stf.pp.embed(sdata, encoder='e', how='area', widths_um=[112.0], mpp=[0.5], "
            "outlines=True, overwrite=True)",
        ),
        (
            {"how": "tiles", "widths_um": [112.0], "mpp": [0.5], "tile_px": 224},
            "stf.pp.embed(sdata, encoder='e', how='tiles', widths_um=[112.0], tile_px=224, "
            "overwrite=True)",
        ),
        ({}, "stf.pp.embed"),
    ],
)
def test_the_call_is_told_that_makes_an_embedding_as_wanted(
    recipe: dict[str, Any], call: str
) -> None:
    wanted = {"encoder": "e", **recipe}
    with pytest.raises(ValueError, match=re.escape(f"Make them alike with `{call}`, or name")):
        require_same_recipe({"encoder": "f"}, wanted, what="this slide", other="the model")


def test_told_in_the_words_of_embed() -> None:
    told = "encoder=colours, widths_um=[112.0, 224.0], mpp=[0.5, 1.0], tile_px=224"
    assert describe_recipe(MADE) == told
    assert describe_recipe({}) == "precomputed, without a recipe"
