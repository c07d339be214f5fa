from __future__ import annotations

import pytest

from stflow._calls import embed_call


@pytest.mark.parametrize(
    ("recipe", "call"),
    [
        (
            {"how": "tiles", "encoder": "uni", "tile_px": 224, "mpp": 0.5, "width": 3},
            "stf.pp.embed(sdata, encoder='uni', how='tiles', tile_px=224)",
        ),
        (
            {"how": "area", "encoder": "uni", "tile_px": 224, "mpp": [0.5]},
            "stf.pp.embed(sdata, encoder='uni', how='area', mpp=[0.5])",
        ),
        ({"encoder": "uni"}, "stf.pp.embed"),
        ({}, "stf.pp.embed"),
    ],
)
def test_the_call_that_makes_an_embedding(recipe: dict, call: str) -> None:
    assert embed_call(recipe) == call


def test_more_words_come_last() -> None:
    assert embed_call({"how": "area"}, overwrite=True).endswith("how='area', overwrite=True)")
