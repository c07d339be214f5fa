"""Which channels are colours, what is transparent, and what is no stain at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stflow.images._colours import RGB, RGBA, Colours, find_colours

PREMULTIPLIED = Colours(alpha=3, premultiplied=True)


def test_transparency_lies_on_white() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]]], dtype=np.uint8)
    np.testing.assert_array_equal(
        RGBA.on_white(pixels), [[[10, 20, 30], [255, 255, 255], [204, 224, 244]]]
    )
    np.testing.assert_array_equal(RGB.on_white(pixels), pixels[..., :3])
    assert RGBA.on_white(np.empty((0, 4, 4), np.uint8)).shape == (0, 4, 3)


def test_colours_that_were_multiplied_are_not_multiplied_again() -> None:
    pixels = np.array([[[10, 20, 30, 255], [0, 0, 0, 0], [0, 20, 40, 51]]], dtype=np.uint8)
    laid = PREMULTIPLIED.on_white(pixels)
    np.testing.assert_array_equal(laid, [[[10, 20, 30], [255, 255, 255], [204, 224, 244]]])
    assert (RGBA.on_white(pixels)[0, 2] != laid[0, 2]).any()


@given(arrays(np.uint8, (3, 2, 4)))
def test_both_kinds_of_alpha_say_the_same(pixels: np.ndarray) -> None:
    multiplied = pixels.copy()
    multiplied[..., :3] = (pixels[..., :3] * (pixels[..., 3:] / 255)).round()
    expected = RGBA.on_white(pixels).astype(int)
    assert np.abs(PREMULTIPLIED.on_white(multiplied) - expected).max() <= 1


@given(arrays(np.uint8, (2, 3, 4)), st.permutations(range(4)))
def test_channels_stand_anywhere(pixels: np.ndarray, order: list[int]) -> None:
    names = ["r", "g", "b", "a"]
    colours = find_colours([names[place] for place in order])
    assert colours is not None
    np.testing.assert_array_equal(colours.on_white(pixels[..., order]), RGBA.on_white(pixels))


@pytest.mark.parametrize(
    ("names", "colours"),
    [
        ("rgb", RGB),
        ("RGBA", RGBA),
        ("bgr", Colours((2, 1, 0))),
        ("argb", Colours((1, 2, 3), alpha=0)),
        (["Red", "Green", "Blue"], RGB),
        (["Red", "Green", "Blue", "Alpha"], RGBA),
        (["r", "g", "b", "DAPI"], RGB),
        ("012", RGB),
        ("0123", RGBA),
        (["", "", ""], RGB),
        (["Channel:0:0", "Channel:0:1", "Channel:0:2"], RGB),
        (["C1", "C2", "C3", "C4"], RGBA),
        ("0", None),
        ("01", None),
        ("01234", None),
        (["DAPI", "FITC", "TRITC"], None),
        (["DAPI", "FITC", "TRITC", "Cy5"], None),
        (["0", "1", "CD3"], None),
        (["r", "g", "a"], None),
    ],
)  # fmt: skip
def test_names_say_what_channels_are(names: list[str], colours: Colours | None) -> None:
    assert find_colours(list(names)) == colours
