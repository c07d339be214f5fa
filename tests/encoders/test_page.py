"""The page on encoders says what the registry says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import stflow as stf

PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"


def page_row(name: str, row: pd.Series) -> str:
    width = str(row.width) if pd.isna(row.stages_width) else f"{row.width} / {row.stages_width}"
    shown = [f"[`{name}`]({row.url})", width, f"{row.tile_px} px", row.pooling]
    shown += [row.licence, row.needs or "nothing"]
    return "| " + " | ".join(shown) + " |"


def test_the_page_lists_every_encoder_once_in_order():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| [`")]
    table = stf.encoders.list()
    assert lines == [page_row(str(name), row) for name, row in table.iterrows()]
