"""Tiles that show nothing, told from those that show something."""

from __future__ import annotations

import numpy as np
import pytest

from stflow.images import is_blank


def flat(colour: tuple[int, int, int], noise: float = 0.0, side: int = 48) -> np.ndarray:
    """Return one tile of one colour, with the noise of a camera."""
    drawn = np.random.default_rng(0).normal(colour, noise, (1, side, side, 3))
    return np.clip(drawn, 0, 255).astype(np.uint8)


GLASS = (235, 230, 238)
PINK = (225, 150, 190)


@pytest.mark.parametrize(
    ("tile", "blank"),
    [
        (flat(GLASS), True),
        (flat(GLASS, noise=6), True),
        (flat((228, 204, 226), noise=3), True),
        (flat((255, 255, 255)), True),
        (flat((0, 0, 0)), True),
        (flat(PINK), False),
        (flat(PINK, noise=20), False),
        (flat((160, 150, 160), noise=20), False),
    ],
)
def test_glass_and_padding_are_blank_and_tissue_is_not(tile, blank) -> None:
    assert is_blank(tile).tolist() == [blank]


def test_each_tile_is_judged_by_itself() -> None:
    tiles = np.concatenate([flat(PINK, 20), flat(GLASS, 3), flat(PINK, 20), flat((0, 0, 0))])
    assert is_blank(tiles).tolist() == [False, True, False, True]
    assert is_blank(tiles[:0]).tolist() == []


@pytest.mark.parametrize("side", [1, 5, 31, 224])
def test_tiles_of_any_size(side) -> None:
    assert is_blank(flat(GLASS, side=side)).tolist() == [True]


def test_a_nucleus_on_glass_is_something_to_see() -> None:
    tile = flat(GLASS, noise=2, side=224)
    tile[0, 100:130, 100:130] = (110, 60, 140)
    assert is_blank(tile).tolist() == [False]
