"""Vectors on disk: found by pixels, written once, never half a row."""

from __future__ import annotations

import errno
import hashlib

import numpy as np
import pytest
import zarr

from stflow.embedding import _cache as module
from stflow.embedding._cache import VectorCache, require_cache_folder, tile_digests

RECIPE = {"encoder": "one", "weights_sha256": "0" * 64}
WIDTH = 5


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", 4)


def some(n, seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (n, 3, 3, 3), dtype=np.uint8)
    return tile_digests(tiles), rng.normal(size=(n, WIDTH)).astype(np.float32)


def opened(folder, recipe=RECIPE, n_tiles=50, width=WIDTH, **how) -> VectorCache:
    return VectorCache(folder, recipe, width=width, n_tiles=n_tiles, **how)


def filled(folder, digests, vectors, step=3, **how) -> None:
    with opened(folder, **how) as cache:
        for start in range(0, len(digests), step):
            cache.add(digests[start : start + step], vectors[start : start + step])


def test_a_digest_is_of_the_pixels():
    tiles = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    assert tile_digests(tiles)[1] == hashlib.sha256(tiles[1].tobytes()).digest()[:16]
    assert tile_digests(tiles[:, ::-1].copy())[0] != tile_digests(tiles)[0]


@pytest.mark.parametrize("n", [1, 4, 11])
def test_what_was_added_is_found_by_the_next_run(tmp_path, n):
    digests, vectors = some(n)
    filled(tmp_path / "c", digests, vectors)
    order = np.random.default_rng(1).permutation(n)
    known, found = opened(tmp_path / "c").find(digests[order])
    assert known.all()
    np.testing.assert_array_equal(found, vectors[order])
    other, _ = some(n, seed=9)
    known, found = opened(tmp_path / "c").find(other)
    assert not known.any()
    assert found.shape == (0, WIDTH)


def test_known_and_unknown_tiles_are_told_apart(tmp_path):
    digests, vectors = some(10)
    filled(tmp_path, digests[:6], vectors[:6])
    known, found = opened(tmp_path).find(digests[[9, 2, 8, 5]])
    assert known.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(found, vectors[[2, 5]])


@pytest.mark.parametrize(
    "other", [{**RECIPE, "weights_sha256": "1" * 64}, {**RECIPE, "tile_px": 3}, {}]
)
def test_another_recipe_knows_nothing_of_it(tmp_path, other):
    digests, vectors = some(6)
    filled(tmp_path, digests, vectors)
    assert not opened(tmp_path, other).find(digests)[0].any()
    assert not opened(tmp_path, width=WIDTH + 1).find(digests)[0].any()


def test_runs_add_up_and_none_rewrites_what_another_wrote(tmp_path):
    digests, vectors = some(20)
    filled(tmp_path, digests[:6], vectors[:6])
    before = {path: path.read_bytes() for path in tmp_path.rglob("c/*/*")}
    assert before
    filled(tmp_path, digests[6:], vectors[6:])
    assert {path: path.read_bytes() for path in before} == before
    known, found = opened(tmp_path).find(digests)
    assert known.all()
    np.testing.assert_array_equal(found, vectors)


def test_two_runs_at_once_do_not_mix(tmp_path):
    digests, vectors = some(16)
    with opened(tmp_path) as first, opened(tmp_path) as second:
        for i in range(0, 16, 4):
            (first if i % 8 else second).add(digests[i : i + 4], vectors[i : i + 4])
    known, found = opened(tmp_path).find(digests)
    assert known.all()
    np.testing.assert_array_equal(found, vectors)


def test_nothing_is_made_when_nothing_is_added(tmp_path):
    with opened(tmp_path / "c") as cache:
        cache.find(some(3)[0])
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("stage", ["vectors", "digests"])
def test_a_full_disk_leaves_only_whole_rows(tmp_path, monkeypatch, stage):
    digests, vectors = some(12)
    from zarr.storage import _local

    put, written = _local._put, []

    def full(path, value, exclusive=False):
        if "c" in path.parts and stage in path.parts:
            written.append(path)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return put(path, value, exclusive)

    monkeypatch.setattr(_local, "_put", full)
    message = r"cache .* cannot be written \(.*No space left.*`cache=False`"
    with pytest.raises(OSError, match=message) as caught:
        filled(tmp_path, digests, vectors, step=4)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    known, found = opened(tmp_path).find(digests)
    assert 4 <= known.sum() < 12
    np.testing.assert_array_equal(found, vectors[known])


def test_a_cache_that_nobody_asked_for_gives_up_with_one_warning(tmp_path, monkeypatch):
    digests, vectors = some(20)
    from zarr.storage import _local

    put, tried = _local._put, []

    def full(path, value, exclusive=False):
        if "c" in path.parts:
            tried.append(path)
            if len(tried) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return put(path, value, exclusive)

    monkeypatch.setattr(_local, "_put", full)
    with pytest.warns(UserWarning, match=r"No more vectors.*No space left") as caught:
        filled(tmp_path, digests, vectors, asked_for=False)
    assert len(caught) == 1
    assert len(tried) == 3
    monkeypatch.undo()
    monkeypatch.setattr(module, "CHUNK_ROWS", 4)
    known, found = opened(tmp_path).find(digests)
    assert known.tolist() == [True] * 4 + [False] * 16
    np.testing.assert_array_equal(found, vectors[:4])


def test_an_interrupted_run_keeps_what_it_has(tmp_path):
    digests, vectors = some(7)

    def interrupted():
        with opened(tmp_path) as cache:
            cache.add(digests[:6], vectors[:6])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert opened(tmp_path).find(digests)[0].tolist() == [True] * 6 + [False]


def chunks(folder, name) -> list:
    return sorted(folder.rglob(f"{name}/c/*/0"))


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
@pytest.mark.parametrize("name", ["vectors", "digests"])
def test_a_damaged_chunk_is_not_believed(tmp_path, name, harm):
    digests, vectors = some(8)
    filled(tmp_path, digests, vectors, step=4)
    path = chunks(tmp_path, name)[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:9]), "empty": b""}[harm])
    known, found = opened(tmp_path).find(digests)
    assert not known[4:].any()
    assert known[:4].all() or name == "digests"
    np.testing.assert_array_equal(found, vectors[known])


def test_vectors_without_digests_do_not_count(tmp_path):
    digests, vectors = some(8)
    filled(tmp_path, digests, vectors, step=4)
    chunks(tmp_path, "digests")[0].unlink()
    assert opened(tmp_path).find(digests)[0].tolist() == [False] * 4 + [True] * 4


def test_a_folder_that_will_do(tmp_path):
    require_cache_folder(tmp_path)
    require_cache_folder(tmp_path / "new" / "er")
    filled(tmp_path / "c", *some(3))
    require_cache_folder(tmp_path / "c")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_or_below_one(tmp_path):
    (tmp_path / "f").write_text("x")
    for folder in (tmp_path / "f", tmp_path / "f" / "g"):
        with pytest.raises(NotADirectoryError, match=r"`cache` '.*': '.*f' is a file"):
            require_cache_folder(folder)


def test_a_folder_of_somebody_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"holds something else than embeddings; name a new"):
        require_cache_folder(tmp_path)
    zarr.open_group(tmp_path / "z", mode="w").attrs["spatialdata"] = 1
    with pytest.raises(ValueError, match="holds something else"):
        require_cache_folder(tmp_path / "z")


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"`cache` '.*' cannot be written to"):
        require_cache_folder(tmp_path / "new")
