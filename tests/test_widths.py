"""Widths of tiles and their scales: each follows from the other, and bad ones are named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stflow as stf
from stflow._widths import DEFAULT_WIDTHS_UM, looks

DIGITS = st.integers(1, 999_999)


def test_known_answers() -> None:
    assert looks(None, None, tile_px=224) == ([112.0, 224.0, 448.0], [0.5, 1.0, 2.0])
    assert looks((224, 112), None, tile_px=112) == ([224.0, 112.0], [2.0, 1.0])
    assert looks(None, (1.0, 0.5), tile_px=224) == ([224.0, 112.0], [1.0, 0.5])
    assert looks(112, None, tile_px=224) == looks(None, 0.5, tile_px=224) == ([112.0], [0.5])
    assert looks(np.array([67.2]), None, tile_px=224) == ([67.2], [0.3])
    assert looks(np.float32(112), None, tile_px=448) == ([112.0], [0.25])


def test_the_default_is_what_embed_tells() -> None:
    for width in DEFAULT_WIDTHS_UM:
        assert f"{width:g}" in stf.pp.embed.__doc__


@given(DIGITS, st.integers(-6, 0), st.integers(1, 1024))
def test_widths_and_scales_give_each_other_back(digits: int, exponent: int, tile_px: int) -> None:
    number = float(f"{digits}e{exponent}")
    widths, scales = looks(None, number, tile_px=tile_px)
    assert scales == [number]
    assert looks(widths, None, tile_px=tile_px) == (widths, scales)
    assert looks(1.01 * widths[0], None, tile_px=tile_px)[1] != scales


@pytest.mark.parametrize("name", ["widths_um", "mpp"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "must be a positive number, not 0.0"),
        ((112, -1), "must be a positive number, not -1.0"),
        (float("nan"), "must be a positive number, not nan"),
        ([112, float("inf")], "must be a positive number, not inf"),
        ((), "is empty"),
        (np.array([]), "is empty"),
        ("112", "must be a number or a list of numbers, not '112'"),
        (["112"], r"must be a number or a list of numbers, not \['112'\]"),
        ((112, None), "must be a number or a list"),
        (True, "must be a number or a list"),
        ([[112, 224]], "must be a number or a list"),
        ([[112], [224, 448]], "must be a number or a list"),
        ({112, 224}, "must be a number or a list"),
        ({"he": 112}, "must be a number or a list"),
    ],
)
def test_what_is_no_width(name: str, value: object, message: str) -> None:
    both = {"widths_um": None, "mpp": None, name: value}
    with pytest.raises(ValueError, match=f"^`{name}` {message}"):
        looks(**both, tile_px=224)


def test_both_are_one_too_many() -> None:
    with pytest.raises(ValueError, match=r"`widths_um=` or `mpp=`, not both.*width / `tile_px`"):
        looks(112, 0.5, tile_px=224)
