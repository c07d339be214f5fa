"""The eight symmetries of the square, and how they compose."""

from __future__ import annotations

import numpy as np
import torch

from stflow._square import N_SYMMETRIES, compositions, turn


def test_eight_views_and_none_twice():
    grid = torch.arange(9).view(3, 3)
    views = [turn(grid, which).numpy() for which in range(N_SYMMETRIES)]
    assert len({view.tobytes() for view in views}) == N_SYMMETRIES
    np.testing.assert_array_equal(views[0], grid)
    np.testing.assert_array_equal(views[1], np.rot90(grid))
    np.testing.assert_array_equal(views[4], np.fliplr(grid))


def test_other_axes():
    tiles = torch.arange(24).view(1, 2, 2, 6)
    for which in range(N_SYMMETRIES):
        expected = turn(tiles.movedim(-1, 0), which).movedim(0, -1)
        assert turn(tiles, which, (1, 2)).equal(expected)


def test_compositions_undo_one_after_the_other():
    grid, table = torch.arange(9).view(3, 3), compositions()
    for g in range(N_SYMMETRIES):
        for h in range(N_SYMMETRIES):
            assert turn(turn(grid, int(table[g, h])), g).equal(turn(grid, h))
