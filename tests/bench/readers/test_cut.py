from __future__ import annotations

import numpy as np

from stflow.bench.readers._cut import cut
from stflow.images import Level


def test_tiles_come_in_the_order_of_their_centres(rng: np.random.Generator):
    pixels = rng.integers(0, 255, (3, 300, 400)).astype(np.uint8)
    centres = rng.integers(10, 290, (150, 2)).astype(float)
    tiles = cut([Level(pixels, (1, 1))], centres, size=8, tile_px=8)
    for tile, (x, y) in zip(tiles, centres.astype(int), strict=True):
        expected = np.moveaxis(pixels[:, y - 4 : y + 4, x - 4 : x + 4], 0, -1)
        np.testing.assert_array_equal(tile, expected)


def test_what_lies_outside_is_white_and_no_centres_give_no_tiles():
    levels = [Level(np.zeros((3, 20, 20), np.uint8), (1, 1))]
    (tile,) = cut(levels, np.array([[0.0, 10.0]]), size=8, tile_px=8)
    assert (tile[:, :4] == 255).all()
    assert (tile[:, 4:] == 0).all()
    assert cut(levels, np.empty((0, 2)), size=8, tile_px=8).shape == (0, 8, 8, 3)
