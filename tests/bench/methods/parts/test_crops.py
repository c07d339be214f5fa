"""Crops that published networks are trained on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from stflow.bench.methods._parts import CropDraws
from stflow.slide import MAX_CROP

COORDS = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), axis=-1).reshape(-1, 2)


def sizes(**how) -> np.ndarray:
    draws = CropDraws([SimpleNamespace(coords=COORDS)], **how)
    crops = [rows for _, rows in draws.epoch(np.random.default_rng(0))]
    assert all((np.diff(rows) > 0).all() for rows in crops)
    return np.array([len(rows) for rows in crops])


def test_crops_are_of_any_size_up_to_the_most():
    few = sizes()
    assert len(few) == 32
    assert 0.9 * MAX_CROP < few.max() <= MAX_CROP


def test_crops_go_up_to_the_slide_where_nothing_limits_them():
    whole = sizes(most=None)
    assert whole.max() > 0.9 * len(COORDS) > MAX_CROP
    assert whole.min() < 0.2 * len(COORDS)
