"""Windows are read as numpy would cut them; coarser levels are averages, and bounded in memory."""

from __future__ import annotations

import tracemalloc

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stflow.images.files import _lazy
from stflow.images.files._lazy import LazyLevel, complete, count_halvings, lazy_levels

SIZE = (37, 53)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
WINDOWS: list[tuple[int, int]] = []


def read(path: str, modified_ns: int, level: int, rows: slice, columns: slice) -> np.ndarray:
    if path == "damaged":
        raise RuntimeError("bad tile")
    WINDOWS.append((rows.stop - rows.start, columns.stop - columns.start))
    return PIXELS[rows, columns]


def level(path: str = "a") -> LazyLevel:
    return LazyLevel(path, 0, 0, (3, *SIZE), read)


def cuts(size: int) -> st.SearchStrategy[slice]:
    return st.slices(size)


@given(cuts(3), cuts(SIZE[0]), cuts(SIZE[1]))
def test_a_window_is_what_numpy_would_cut(channels: slice, rows: slice, columns: slice) -> None:
    expected = np.moveaxis(PIXELS, -1, 0)[channels, rows, columns]
    cut = level()[channels, rows, columns]
    np.testing.assert_array_equal(cut, expected)
    assert cut.flags.c_contiguous
    assert not np.shares_memory(cut, PIXELS)
    [array] = lazy_levels("a", 0, [SIZE], read)
    np.testing.assert_array_equal(array[channels, rows, columns].compute(), expected)


@pytest.mark.parametrize("index", [(0, 3, 5), (slice(None), [7, 2, 30], slice(4, 9)), (2, -1)])
def test_single_rows_and_lists_of_them(index: tuple) -> None:
    [array] = lazy_levels("a", 0, [SIZE], read)
    WINDOWS.clear()
    np.testing.assert_array_equal(array[index].compute(), np.moveaxis(PIXELS, -1, 0)[index])
    assert WINDOWS != [SIZE]


def test_only_the_window_is_read() -> None:
    [array] = lazy_levels("a", 0, [SIZE], read)
    WINDOWS.clear()
    array[:, 5:9, 10:40].compute()
    assert WINDOWS == [(4, 30)]


def test_an_error_while_reading_names_the_file() -> None:
    with pytest.raises(OSError, match="Image damaged cannot be read: bad tile"):
        level("damaged")[:, 0:1, 0:1]


@pytest.mark.parametrize(
    ("tile", "chunks"),
    [(None, (2048, 2048)), ((240, 256), (1920, 2048)), ((1, 4096), (2048, 4096))],
)
def test_chunks_are_whole_tiles(tile: tuple[int, int] | None, chunks: tuple[int, int]) -> None:
    [array] = lazy_levels("a", 0, [(9000, 9000)], read, tile=tile)
    assert array.chunksize == (3, *chunks)


@pytest.mark.parametrize(
    ("size", "halvings"), [((1, 9), 0), ((2, 9), 1), ((7, 9), 2), ((8, 9), 3), ((9000, 99), 3)]
)
def test_count_halvings(size: tuple[int, int], halvings: int) -> None:
    assert count_halvings(*size) == halvings


def test_halvings_are_rounded_means_of_four(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (3, 41, 30), dtype=np.uint8)
    levels = complete([da.from_array(pixels, chunks=(3, 7, 9))])
    assert [each.shape[1:] for each in levels] == [(41, 30), (20, 15), (10, 7), (5, 3)]
    fine = pixels[:, :40].astype(float)
    means = fine.reshape(3, 20, 2, 15, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(levels[1].compute(), np.floor(means + 0.5))
    assert levels[1].dtype == np.uint8


def test_levels_of_the_file_stay_and_small_enough_ones_are_added() -> None:
    sizes = [(40_000, 9000), (10_000, 2250)]
    given_levels = [da.zeros((3, *size), chunks=2048, dtype=np.uint8) for size in sizes]
    levels = complete(given_levels)
    assert [each.shape[1:] for each in levels] == [*sizes, (5000, 1125), (2500, 562), (1250, 281)]
    assert all(kept is own for kept, own in zip(levels, given_levels, strict=False))
    assert len(complete([da.zeros((3, 1, 5000), dtype=np.uint8)])) == 1


def test_the_coarsest_level_never_holds_the_finest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lazy, "CHUNK", 256)

    def flat(path: str, modified_ns: int, number: int, rows: slice, columns: slice) -> np.ndarray:
        return np.full((rows.stop - rows.start, columns.stop - columns.start, 3), 7, np.uint8)

    levels = complete(lazy_levels("a", 0, [(4096, 4096)], flat))
    tracemalloc.start()
    with dask.config.set(scheduler="threads", num_workers=2):
        coarsest = levels[-1].compute()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert coarsest.shape == (3, 256, 256)
    assert (coarsest == 7).all()
    assert peak < levels[0].nbytes / 4
