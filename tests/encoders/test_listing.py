"""The table of encoders that users see."""

from __future__ import annotations

import pandas as pd

import stflow as stf
from stflow.encoders._cards import ALL


def test_one_row_an_encoder_with_what_there_is_to_know():
    table = stf.encoders.list()
    assert table.index.name == "name"
    assert list(table.index) == [card.name for card in ALL]
    assert table.index.is_unique
    uni = table.loc["uni"]
    assert (uni.width, uni.tile_px, uni.mpp, uni.pooling) == (1024, 224, 0.5, "class token")
    assert (uni.licence, uni.gated, uni.needs) == ("CC-BY-NC-ND-4.0", True, "hub, token")
    assert uni["mean"] == (0.485, 0.456, 0.406)
    assert uni.url == "https://huggingface.co/MahmoodLab/UNI"
    assert table.loc["conch", "tile_px"] == 448
    assert table.loc["efficientnet_lite0", "stages_width"] == 1536
    assert table["stages_width"].notna().sum() == 3
    assert table.loc["efficientnet_lite0", ["how", "halo_px"]].tolist() == ["area, tiles", 436]
    assert uni.how == "tiles, area"
    assert table.loc[["conch", "ctranspath", "ciga"], "how"].tolist() == [
        "tiles",
        "tiles",
        "area, tiles",
    ]
    assert uni.halo_px is pd.NA


def test_changing_the_table_changes_nothing():
    table = stf.encoders.list()
    table.loc["uni", "width"] = 3
    assert stf.encoders.list().loc["uni", "width"] == 1024
