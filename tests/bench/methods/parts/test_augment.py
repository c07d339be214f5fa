from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as any_array

from stflow.bench.methods._parts._augment import MEAN, STD, normalise_tiles, turn_tiles


def dihedral(tile: np.ndarray) -> list[np.ndarray]:
    """The eight views, by transposing and mirroring."""
    sides = [tile, tile.transpose(1, 0, 2)]
    return [side[rows, cols] for side in sides for rows, cols in MIRRORS]


KEEP, MIRROR = slice(None), slice(None, None, -1)
MIRRORS = [(a, b) for a in (KEEP, MIRROR) for b in (KEEP, MIRROR)]


def views_drawn(tile: np.ndarray, turned: np.ndarray) -> list[int]:
    known = [view.tobytes() for view in dihedral(tile)]
    return [known.index(each.tobytes()) for each in turned]


def test_all_eight_views_are_drawn_as_often(rng):
    tile = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    turned = turn_tiles(np.stack([tile] * 1600), rng)
    counts = np.bincount(views_drawn(tile, turned), minlength=8)
    assert counts.min() > 140
    assert counts.max() < 260


@given(tile=any_array(np.uint8, (4, 4, 3)), seed=st.integers(0, 99))
def test_a_tile_only_becomes_a_view_of_itself(tile: np.ndarray, seed: int):
    (turned,) = turn_tiles(tile[None], np.random.default_rng(seed))
    assert any(np.array_equal(turned, view) for view in dihedral(tile))


def test_tiles_of_a_batch_do_not_mix_and_stay_as_they_were(rng):
    tiles = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(2, 2).repeat(3, 3)
    before = tiles.copy()
    tiles.flags.writeable = False
    assert np.array_equal(turn_tiles(tiles, rng), before)


def test_the_seed_alone_decides_the_views():
    tiles = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    first, again, other = (turn_tiles(tiles, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_oblong_tiles_are_refused(rng):
    with pytest.raises(ValueError, match="4 x 5 px cannot be turned"):
        turn_tiles(np.zeros((1, 4, 5, 3), dtype=np.uint8), rng)


def test_a_pixel_of_each_channel_becomes_a_known_number():
    tiles = np.zeros((1, 1, 2, 3), dtype=np.uint8)
    tiles[0, 0, 1] = (255, 51, 0)
    tiles.flags.writeable = False
    pixels = normalise_tiles(tiles[:, :, ::-1])
    assert pixels.shape == (1, 3, 1, 2)
    assert pixels.dtype == torch.float32
    expected = [(value - m) / s for value, m, s in zip((1.0, 0.2, 0.0), MEAN, STD, strict=True)]
    assert pixels[0, :, 0, 0].tolist() == pytest.approx(expected)
    assert normalise_tiles(tiles, mean=(0, 0, 0), std=(1, 1, 1)).max() == 1
