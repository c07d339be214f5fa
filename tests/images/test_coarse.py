"""A whole image, small: the scale that is wanted, the mean of its pixels, nothing finer read."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from stflow.images import Level
from stflow.images import _coarse as coarse_module
from stflow.images._coarse import average, coarsen


@pytest.fixture
def small(monkeypatch) -> None:
    """Limits that tests of small images meet."""
    monkeypatch.setattr(coarse_module, "MOST_PX", 400)
    monkeypatch.setattr(coarse_module, "LEAST_PX", 100)


def noise(side: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, side, side)).astype(np.uint8)


def blocks(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of pixels."""
    n = pixels.shape[1] // factor
    cut = pixels[:, : n * factor, : n * factor].reshape(3, n, factor, n, factor)
    return cut.mean((2, 4)).round()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("wanted", "factor"),
    [(8, 8), (1, 6), (99, 12), (7.5, 8)],
    ids=["as wanted", "no larger than allowed", "no smaller than allowed", "whole pixels"],
)
def test_means_of_whole_pixels_within_the_limits(wanted: float, factor: int):
    pixels = noise()
    level = coarsen([Level(da.from_array(pixels), (1, 1))], wanted)
    assert level.scale == (factor, factor)
    assert np.array_equal(np.asarray(level.data), blocks(pixels, factor))


@pytest.mark.usefixtures("small")
def test_chunks_do_not_matter():
    pixels = noise(125)
    found = [
        np.asarray(coarsen([Level(da.from_array(pixels, chunks=chunks), (1, 1))], 7).data)
        for chunks in (125, (3, 50, 31), (1, 7, 9))
    ]
    assert np.array_equal(found[0], blocks(pixels, 7))
    assert all(np.array_equal(found[0], other) for other in found[1:])


def refuse(block: np.ndarray) -> np.ndarray:
    raise RuntimeError("level 0 was read")


@pytest.mark.usefixtures("small")
def test_a_coarser_level_is_read_instead_where_it_is_fine_enough():
    forbidden = da.zeros((3, 480, 480), dtype=np.uint8).map_blocks(refuse, dtype=np.uint8)
    levels = [Level(forbidden, (1, 1)), Level(da.from_array(noise(240)), (2, 2))]
    level = coarsen(levels, 24)
    assert level.scale == (24, 24)
    assert np.array_equal(np.asarray(level.data), blocks(noise(240), 12))
    with pytest.raises(RuntimeError, match="level 0 was read"):
        np.asarray(coarsen(levels[:1], 24).data)


def test_an_image_smaller_than_the_limits_stays():
    pixels = noise(20)
    level = coarsen([Level(pixels, (1, 1))], 99.0)
    assert level.scale == (1, 1)
    assert np.array_equal(np.asarray(level.data), pixels)


@pytest.mark.parametrize(("wanted", "factor"), [(3.0, 3), (3.4, 3), (3.6, 4), (0.5, 1), (999, 120)])
def test_the_nearest_whole_number_of_pixels_whatever_the_size(wanted: float, factor: int):
    pixels = noise()
    level = average([Level(da.from_array(pixels), (1, 1))], wanted)
    assert level.scale == (factor, factor)
    assert (np.asarray(level.data) == blocks(pixels, factor)).all()


def test_the_coarsest_level_that_is_fine_enough_is_averaged():
    levels = [Level(da.from_array(noise(side)), (120 / side,) * 2) for side in (120, 60, 30)]
    level = average(levels, 3)
    assert level.scale == (4, 4)
    assert (np.asarray(level.data) == blocks(noise(60), 2)).all()
