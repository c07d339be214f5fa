"""Levels of an image: which one is read, and which arrays are images at all."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from stflow.images import Level, as_rgb, choose_level


def pyramid(*scales: float) -> list[Level]:
    return [Level(np.zeros((3, 8, 8), np.uint8), (scale, scale)) for scale in scales]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(0.5, 1), (1, 1), (1.9, 1), (1.979, 1), (1.981, 2), (2, 2), (3.99, 4), (7, 4), (99, 4)],
)
def test_the_coarsest_level_that_is_fine_enough(wanted, chosen):
    assert choose_level(pyramid(1, 2, 4), wanted).scale == (chosen, chosen)


def test_order_does_not_matter_and_the_coarser_axis_counts():
    levels = [pyramid(1)[0], Level(np.zeros((3, 2, 4), np.uint8), (2, 4)), pyramid(2)[0]]
    assert choose_level(levels, 3).scale == (2, 2)
    assert choose_level(levels, 4).scale == (2, 4)


def test_level_zero_when_all_are_too_coarse():
    assert choose_level(pyramid(1, 2), 0.25).scale == (1, 1)


def test_size_is_width_then_height():
    assert Level(np.zeros((3, 5, 9), np.uint8), (1, 1)).size == (9, 5)


def test_what_is_transparent_is_white_and_nothing_is_read_before():
    reads = []

    def give(block):
        reads.append(block.shape)
        return np.full_like(block, 90)

    data = da.zeros((4, 6, 6), dtype=np.uint8, chunks=3).map_blocks(give, meta=np.empty((0, 0, 0)))
    data[3, :3] = 0
    rgb = as_rgb(data.astype(np.uint8), name="x")
    assert (rgb.shape, rgb.dtype, rgb.chunks[1:]) == ((3, 6, 6), np.uint8, ((3, 3), (3, 3)))
    assert not reads
    assert (np.asarray(rgb[:, :3]) == 255).all()
    assert (np.asarray(rgb[:, 3:]) == 197).all()  # 90 / 255 of 90 on white


def test_colours_are_found_by_name():
    data = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    assert as_rgb(data, name="x") is data
    np.testing.assert_array_equal(as_rgb(data, name="x", channels="bgr"), data[::-1])


@pytest.mark.parametrize("dyes", [("DAPI", "FITC", "TRITC"), ("DAPI", "CD3", "CD8", "CD20")])
def test_fluorescence_is_no_stain(dyes):
    data = np.zeros((len(dyes), 4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"Image 'he' .*'DAPI', .*must be called 'r', 'g' and 'b'"):
        as_rgb(data, name="Image 'he'", channels=dyes)
    assert as_rgb(data, name="Image 'he'").shape == (3, 4, 4)


@pytest.mark.parametrize(
    "shape", [(1, 4, 4), (2, 4, 4), (5, 4, 4), (4, 4), (3, 4, 4, 4), (3, 0, 4)]
)
def test_other_shapes_are_refused(shape):
    with pytest.raises(
        ValueError, match=rf"Image 'he' has shape \({shape[0]}, .*expected \(c, y, x"
    ):
        as_rgb(np.zeros(shape, np.uint8), name="Image 'he'")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int8, bool])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match=rf"Image 'he' holds {np.dtype(dtype)}; expected uint8"):
        as_rgb(np.zeros((3, 4, 4), dtype), name="Image 'he'")
