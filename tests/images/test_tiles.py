"""The tile reader against a naive crop of the whole padded image."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stflow.images import Level, outside, read_tiles
from stflow.images import _tiles as reader

PAD = 256


def picture(width=300, height=200, seed=0) -> np.ndarray:
    """Smooth colours with noise, so that a shift by a pixel shows."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 7), np.cos(y / 5), np.sin((x + y) / 9)]) * 60 + 128
    noise = np.random.default_rng(seed).normal(0, 25, waves.shape)
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def naive(data, centre, size, tile_px, scale=(1.0, 1.0)) -> np.ndarray:
    """Pad all of the level white, resample the exact box out of it."""
    padded = np.pad(data, ((0, 0), (PAD, PAD), (PAD, PAD)), constant_values=255)
    whole = Image.fromarray(np.ascontiguousarray(np.moveaxis(padded, 0, -1)))
    low = (np.asarray(centre) - size / 2) / scale + PAD
    high = low + size / np.asarray(scale)
    return np.asarray(whole.resize((tile_px, tile_px), Image.Resampling.BICUBIC, (*low, *high)))


def read(levels, centres, *, size, tile_px, batch_size=3) -> np.ndarray:
    """All tiles in the order of the centres; each must come once."""
    centres = np.asarray(centres, dtype=float)
    tiles = np.empty((len(centres), tile_px, tile_px, 3), np.uint8)
    seen: list[int] = []
    for at, batch in read_tiles(levels, centres, size=size, tile_px=tile_px, batch_size=batch_size):
        tiles[at] = batch
        seen += at.tolist()
    assert sorted(seen) == list(range(len(centres)))
    return tiles


def grey_levels(a, b) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def centres_all_over(rng, n=40) -> np.ndarray:
    return rng.uniform((-20, -20), (320, 220), (n, 2))


class Counting:
    """An array that remembers what was read of it."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.reads: list[np.ndarray] = []

    def __getitem__(self, at):
        self.reads.append(self.data[at])
        return self.reads[-1]


@pytest.mark.parametrize("size", [16.0, 24.3, 64.0, 101.7])
def test_equals_a_naive_crop_in_and_beyond_the_image(size, rng):
    data, centres = picture(), centres_all_over(rng)
    tiles = read([Level(data, (1, 1))], centres, size=size, tile_px=24)
    for tile, centre in zip(tiles, centres, strict=True):
        assert grey_levels(tile, naive(data, centre, size, 24)) <= 1


def test_a_shift_of_half_a_pixel_is_seen():
    data = picture()
    tile = read([Level(data, (1, 1))], [[100, 90]], size=30, tile_px=24)[0]
    assert grey_levels(tile, naive(data, (100, 90), 30, 24)) <= 1
    assert grey_levels(tile, naive(data, (100.5, 90), 30, 24)) > 20


def test_whole_pixels_are_copied():
    data = picture()
    tile = read([Level(data, (1, 1))], [[100, 90]], size=32, tile_px=32)[0]
    np.testing.assert_array_equal(tile, np.moveaxis(data[:, 74:106, 84:116], 0, -1))
    np.testing.assert_array_equal(tile, naive(data, (100, 90), 32, 32))


def test_continuous_coordinates_start_at_the_corner_of_the_first_pixel():
    data = np.full((3, 8, 8), 7, np.uint8)
    tile = read([Level(data, (1, 1))], [[0, 0]], size=4, tile_px=4)[0]
    assert (tile[2:, 2:] == 7).all()
    assert (tile[:2] == 255).all()
    assert (tile[:, :2] == 255).all()


def test_a_tile_far_outside_is_white():
    tiles = read([Level(picture(), (1, 1))], [[5000, -900], [50, 50]], size=20, tile_px=8)
    assert (tiles[0] == 255).all()
    assert (tiles[1] != 255).any()


@pytest.mark.parametrize(("tile_px", "scale"), [(8, 4), (16, 2), (33, 1)])
def test_a_multiscale_image_is_cut_from_the_nearest_level(tile_px, scale, rng):
    data, centres = picture(320, 240), centres_all_over(rng, 12)
    coarse = {s: data.reshape(3, 240 // s, s, 320 // s, s).mean((2, 4)) for s in (1, 2, 4)}
    levels = [Level(pixels.astype(np.uint8), (s, s)) for s, pixels in coarse.items()]
    tiles = read(levels, centres, size=33.0, tile_px=tile_px)
    chosen = coarse[scale].astype(np.uint8)
    for tile, centre in zip(tiles, centres, strict=True):
        assert grey_levels(tile, naive(chosen, centre, 33, tile_px, (scale, scale))) <= 1


def test_levels_may_shrink_by_different_amounts_along_x_and_y(rng):
    data = picture(320, 240)
    level = Level(data[:, :, ::2].copy(), (2.0, 1.0))
    for centre in centres_all_over(rng, 8):
        tile = read([level], [centre], size=40, tile_px=16)[0]
        assert grey_levels(tile, naive(level.data, centre, 40, 16, (2, 1))) <= 1


@settings(max_examples=40, deadline=None)
@given(
    centres=st.lists(st.tuples(st.floats(-30, 330), st.floats(-30, 230)), min_size=1, max_size=8),
    size=st.floats(3, 90),
    chunks=st.tuples(st.integers(1, 4), st.integers(7, 200), st.integers(7, 300)),
    block=st.sampled_from([16, 50, 128, 2048]),
    batch_size=st.integers(1, 9),
)
def test_same_bytes_for_any_chunking_blocks_and_company(centres, size, chunks, block, batch_size):
    data = picture()
    alone = np.concatenate(
        [read([Level(data, (1, 1))], [c], size=size, tile_px=20) for c in centres]
    )
    chunked = Level(da.from_array(data, chunks=chunks), (1, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_PX", block)
        together = read([chunked], centres, size=size, tile_px=20, batch_size=batch_size)
    np.testing.assert_array_equal(together, alone)
    assert grey_levels(alone[0], naive(data, centres[0], size, 20)) <= 1


def test_each_block_is_read_once(monkeypatch, rng):
    monkeypatch.setattr(reader, "BLOCK_PX", 64)
    data = Counting(picture())
    centres = rng.uniform((0, 0), (300, 200), (200, 2))
    read([Level(data, (1, 1))], centres, size=20, tile_px=10)
    assert len(data.reads) == len({tuple(c) for c in (centres // 64).astype(int).tolist()})
    assert len(data.reads) < len(centres)


def test_a_large_chunk_is_read_once_as_it_is_decoded_whole(monkeypatch, rng):
    monkeypatch.setattr(reader, "BLOCK_PX", 64)
    decoded = []
    source = da.from_array(picture(), chunks=(3, 200, 300))
    data = source.map_blocks(lambda block: decoded.append(block.shape) or block, meta=source._meta)
    decoded.clear()
    centres = rng.uniform((0, 0), (300, 200), (50, 2))
    read([Level(data, (1, 1))], centres, size=20, tile_px=10)
    assert decoded == [(3, 200, 300)]


def test_reads_are_bounded_by_a_block_and_a_tile(monkeypatch):
    monkeypatch.setattr(reader, "BLOCK_PX", 64)
    data = Counting(picture(900, 900))
    read([Level(data, (1, 1))], [[10, 10], [890, 890], [-5, 899], [20, 30]], size=20, tile_px=10)
    assert max(max(block.shape) for block in data.reads) <= 64 + 20 + 2 * 8


def test_nothing_is_read_before_iterating():
    data = Counting(picture())
    tiles = read_tiles([Level(data, (1, 1))], np.array([[9.0, 9.0]]), size=9, tile_px=9)
    assert not data.reads
    next(tiles)
    assert len(data.reads) == 1


def test_batches_are_full_across_blocks(monkeypatch, rng):
    monkeypatch.setattr(reader, "BLOCK_PX", 32)
    centres = rng.uniform((0, 0), (300, 200), (23, 2))
    batches = read_tiles([Level(picture(), (1, 1))], centres, size=9, tile_px=6, batch_size=5)
    assert [len(at) for at, _ in batches] == [5, 5, 5, 5, 3]


def test_a_tile_of_more_pixels_than_fit_is_refused_at_once():
    level = Level(da.zeros((3, 100, 100), dtype=np.uint8), (1, 1))
    with pytest.raises(ValueError, match=r"spans 9000 pixels .*8192 .*coarser levels"):
        read_tiles([level], np.array([[5.0, 5.0]]), size=9000, tile_px=100)
    coarser = Level(da.zeros((3, 50, 50), dtype=np.uint8), (2, 2))
    read_tiles([level, coarser], np.array([[5.0, 5.0]]), size=9000, tile_px=100)


def test_outside_means_no_area_in_common():
    levels = [Level(picture(300, 200), (1, 1))]
    centres = np.array([[-5, 50], [-4.9, 50], [305, 9], [304.9, 9], [9, 205], [9, -5], [9, 9]])
    assert outside(levels, centres, size=10).tolist() == [True, False] * 2 + [True, True, False]
