"""One pass over the tissue: the same vectors whatever the pieces, those of a naive reading."""

from __future__ import annotations

import io
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch
from torch import nn
from tqdm.auto import tqdm

from stflow.embedding import AreaJob, encode_area, prepare
from stflow.embedding import _walk as walk
from stflow.embedding._cache import VectorCache
from stflow.encoders import get_encoder, probe
from stflow.encoders._encoder import Encoder
from stflow.encoders._pooling import StagePool
from stflow.encoders._stages import Stage
from stflow.images import Level

SIDE = 700


@pytest.fixture(scope="module")
def picture(waves) -> np.ndarray:
    return waves(SIDE)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Two stages, of strides 2 and 4."""
    torch.manual_seed(0)
    first = Stage(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU())
    second = Stage(
        nn.Conv2d(5, 4, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)
    )
    pool = StagePool(nn.ModuleList([first, second])).eval().requires_grad_(False)
    return Encoder("two stages", pool, "0" * 64, pooling="stages")


@pytest.fixture(scope="module")
def centres() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, SIDE, (40, 2))


def read(picture, encoder, centres, *, widths=(20.0, 75.5), piece=64, scale=1.0, **how):
    image = how.pop("image", picture)
    job = AreaJob(np.arange(len(centres)), [Level(image, (1.0, 1.0))], centres, scale, "he")
    vectors = np.full((len(centres), len(widths), 18), np.nan, dtype=np.float32)
    given = {"num_workers": 1, "cache": None, "bar": tqdm(disable=True)} | how
    encoders = given.pop("encoders", [encoder])
    reaches = [probe(each.stages) for each in encoders]
    given |= {"widths_px": widths, "columns": range(len(widths)), "piece": piece}
    blank = encode_area([job], encoders, reaches, vectors=vectors, **given)
    return vectors, blank[0]


def naive(picture, encoder, centres, width) -> np.ndarray:
    """Read boxes from maps of the whole picture, wide in glass, pixel by pixel."""
    pad = 256
    padded = np.pad(picture, ((0, 0), (pad, pad), (pad, pad)), constant_values=255)
    features = encoder.start(np.ascontiguousarray(np.moveaxis(padded, 0, -1)))
    rows = [[] for _ in centres]
    for stage in encoder.stages:
        (features,) = stage(features)
        maps = features[0].double().numpy()
        stride = padded.shape[1] // maps.shape[1]
        at = np.arange(maps.shape[1])
        for row, centre in zip(rows, centres, strict=True):
            lower, upper = (centre + pad - width / 2) / stride, (centre + pad + width / 2) / stride
            x, y = (
                np.clip(np.minimum(at + 1, upper[i]) - np.maximum(at, lower[i]), 0, None)
                for i in range(2)
            )
            weights = y[:, None] * x / (y.sum() * x.sum())
            mean = (weights * maps).sum((1, 2))
            row += [mean, np.sqrt((weights * maps**2).sum((1, 2)) - mean**2)]
    return np.array([np.concatenate(row) for row in rows])


def test_boxes_of_the_whole_picture_read_naively(picture, encoder, centres):
    vectors, _ = read(picture, encoder, centres)
    for i, width in enumerate((20.0, 75.5)):
        expected = naive(picture, encoder, centres, width)
        np.testing.assert_allclose(vectors[:, i], expected, atol=3e-4)  # roots of rounding errors
        np.testing.assert_allclose(vectors[:, i] ** 2, expected**2, atol=2e-6)
    assert np.abs(vectors[:, 0] - vectors[:, 1]).max() > 0.01


@pytest.mark.parametrize("piece", [32, 96, 256, 1024])
def test_pieces_and_bands_do_not_matter(picture, encoder, centres, piece, monkeypatch):
    expected, _ = read(picture, encoder, centres)
    monkeypatch.setattr(walk, "BLOCK_PX", 50 + piece)
    monkeypatch.setattr(walk, "MOST_SPOTS", 7)
    vectors, _ = read(picture, encoder, centres, piece=piece)
    assert (np.abs(vectors - expected).max(axis=0) < 1e-3 * expected.std(axis=0)).all()


@pytest.mark.parametrize("chunks", [(3, 100, 64), (1, 700, 33), (3, 700, 700)])
def test_chunks_do_not_matter(picture, encoder, centres, chunks):
    expected, _ = read(picture, encoder, centres)
    vectors, _ = read(picture, encoder, centres, image=da.from_array(picture, chunks=chunks))
    np.testing.assert_array_equal(vectors, expected)


def test_replicas_share_the_tissue(picture, encoder, centres):
    expected, _ = read(picture, encoder, centres)
    replicas = [encoder, replace(encoder, name="another")]
    vectors, _ = read(picture, encoder, centres, encoders=replicas)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_pixel_further_the_vector_moves_smoothly(picture, encoder):
    steps = np.array([[300.0 + step / 8, 300.0] for step in range(9)])
    vectors, _ = read(picture, encoder, steps, widths=(8.0,))
    jumps = np.abs(np.diff(vectors[:, 0], axis=0)).max(axis=1)
    assert jumps.max() < 0.5 * np.abs(vectors[-1, 0] - vectors[0, 0]).max()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_default_encoder_whatever_the_pieces(picture, centres, precision, request):
    if precision == "bfloat16":
        request.getfixturevalue("bfloat16")
    lite0 = prepare(get_encoder("efficientnet_lite0"), precision=precision, tile_px=224)
    job = AreaJob(np.arange(8), [Level(picture, (1.0, 1.0))], centres[:8], 1.0, "he")
    found = []
    for piece in (256, 512):
        vectors = np.empty((8, 1, 1536), np.float32)
        given = {"piece": piece, "num_workers": 0, "cache": None, "bar": tqdm(disable=True)}
        given["columns"] = [0]
        encode_area(
            [job], [lite0], [probe(lite0.stages)], widths_px=[224.0], vectors=vectors, **given
        )
        found.append(vectors[:, 0])
    spread = found[0].std(0)
    seen = spread > 1e-3 * spread.max()
    assert seen.mean() > 0.9
    assert (np.abs(found[0] - found[1])[:, seen] <= 1e-3 * spread[seen]).all()
    assert (np.abs(found[0] - found[1][::-1])[:, seen] > 1e-3 * spread[seen]).any()


def test_glass_is_blank_and_tissue_is_not(picture, encoder):
    half = picture.copy()
    half[:, :, 350:] = 240
    _, blank = read(half, encoder, np.array([[100.0, 300.0], [600.0, 300.0]]))
    assert blank.tolist() == [False, True]


def cache(tmp_path) -> VectorCache:
    return VectorCache(tmp_path / "cache", {"encoder": "two"}, width=18, n_tiles=80)


def test_the_bar_moves_before_the_first_box_is_read(picture, encoder, centres):
    """A box of the last stage waits for many pieces of the first."""
    seen = []

    class Bar(tqdm):
        def set_postfix(self, *, pieces: int) -> None:
            seen.append((pieces, self.n))

    with Bar(total=2 * len(centres), file=io.StringIO()) as bar:
        read(picture, encoder, centres, bar=bar)
        assert bar.n == 2 * len(centres)
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    assert sum(boxes == 0 for _, boxes in seen) > 10


def test_what_is_known_is_not_encoded_again(picture, encoder, centres, tmp_path, monkeypatch):
    with cache(tmp_path) as store:
        expected, _ = read(picture, encoder, centres, cache=store)

    def never(*args):
        raise AssertionError("encoded again")

    with monkeypatch.context() as patched, cache(tmp_path) as store:
        patched.setattr(walk.Maps, "_run", never)
        vectors, _ = read(picture, encoder, centres, cache=store)
    np.testing.assert_array_equal(vectors, expected)
    moved = centres + np.array([0.5, 0])
    with cache(tmp_path) as store:
        vectors, _ = read(picture, encoder, moved, cache=store)
    np.testing.assert_array_equal(vectors, read(picture, encoder, moved)[0])


def test_another_pixel_is_another_box(picture, encoder, centres, tmp_path):
    with cache(tmp_path) as store:
        before, _ = read(picture, encoder, centres, cache=store)
    changed = picture.copy()
    changed[:, 200:400, 200:400] = 0
    with cache(tmp_path) as store:
        vectors, _ = read(changed, encoder, centres, cache=store)
    np.testing.assert_array_equal(vectors, read(changed, encoder, centres)[0])
    assert not np.array_equal(vectors, before)


def test_an_interrupted_pass_goes_on(picture, encoder, centres, tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "BLOCK_PX", 200)
    ran = walk.Walk._block
    made = []

    def at_most_three(self, spots):
        made.append(len(spots))
        if len(made) == 4:
            raise KeyboardInterrupt
        return ran(self, spots)

    with monkeypatch.context() as patched:
        patched.setattr(walk.Walk, "_block", at_most_three)
        with pytest.raises(KeyboardInterrupt), cache(tmp_path) as store:
            read(picture, encoder, centres, cache=store)
    with cache(tmp_path) as store:
        known, _ = store.find(np.concatenate([each.digests for each in store._parts]))
        vectors, _ = read(picture, encoder, centres, cache=store)
    assert 0 < known.sum() < 80
    np.testing.assert_array_equal(vectors, read(picture, encoder, centres)[0])


def test_an_image_that_cannot_be_read_is_named(picture, encoder, centres):
    def broken(block):
        raise ValueError("bad chunk")

    image = da.from_array(picture, chunks=100).map_blocks(broken, meta=picture[:0, :0, :0])
    with pytest.raises(OSError, match="Image 'he' could not be read: bad chunk"):
        read(picture, encoder, centres, image=image)


def test_an_encoder_that_gives_no_numbers_is_refused(picture, encoder, centres):
    broken = nn.Conv2d(3, 5, 1)
    nn.init.constant_(broken.bias, float("nan"))
    stages = nn.ModuleList([Stage(broken)]).requires_grad_(False)
    bad = replace(encoder, model=StagePool(stages))
    job = AreaJob(np.arange(2), [Level(picture, (1.0, 1.0))], centres[:2], 1.0, "he")
    sound = probe([Stage(nn.Conv2d(3, 5, 1))])
    reaches = [replace(each, stage=stages[0]) for each in sound]
    with pytest.raises(ValueError, match=r"embedding by encoder 'two stages' .*finite"):
        encode_area(
            [job],
            [bad],
            [reaches],
            widths_px=[10.0],
            columns=[0],
            vectors=np.empty((2, 1, 10), np.float32),
            piece=64,
            num_workers=0,
            cache=None,
            bar=tqdm(disable=True),
        )
