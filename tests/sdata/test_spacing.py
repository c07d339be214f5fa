"""How far apart spots lie, beside how wide the field of view of their embedding is."""

from __future__ import annotations

import warnings

import pytest

from stflow._sdata import warn_of_wide_boxes


def test_cells_in_wide_boxes_alone_are_told():
    with pytest.warns(UserWarning, match=r"8 um apart.* is 112 um, .*widths_um=\(8, 32, 112\)"):
        warn_of_wide_boxes({"widths_um": [448.0, 112.0]}, 8.0)


@pytest.mark.parametrize(
    ("recipe", "pitch_um"),
    [
        ({"widths_um": [112.0, 224.0]}, 100.0),
        ({"widths_um": [8.0, 112.0]}, 8.0),
        ({"widths_um": [32.0]}, 8.0),
        ({"widths_um": [112.0]}, None),
        ({"widths_um": None}, 8.0),
        ({"encoder": "mine"}, 8.0),
        (None, 8.0),
    ],
)
def test_others_are_not(recipe, pitch_um):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_wide_boxes(recipe, pitch_um)
