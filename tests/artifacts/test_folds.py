"""Folds: as dark as three layers, and what is as dark as one."""

from __future__ import annotations

import numpy as np

from stflow.artifacts import find_folds

UM = 8.0


def tissue() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0.1, 0.5, (3, 200, 200))


def test_a_pleat_is_found_and_single_layers_are_not():
    layer = tissue()
    inside = np.ones((200, 200), dtype=bool)
    assert not find_folds(layer, inside, UM).any()
    layer[:, :, 90:110] *= 3
    found = find_folds(layer, inside, UM)
    assert found[:, 90:110].mean() > 0.8
    assert found[:, :85].mean() == found[:, 115:].mean() == 0


def test_beside_the_tissue_there_is_no_fold():
    layer = tissue()
    layer[:, :, 90:110] *= 3
    inside = np.ones((200, 200), dtype=bool)
    inside[:, 90:110] = False
    assert not find_folds(layer, inside, UM)[:, 90:110].any()
    assert not find_folds(layer, np.zeros_like(inside), UM).any()
