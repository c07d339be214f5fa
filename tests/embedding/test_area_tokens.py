"""Transformers by area: which tokens a box reads, the class token beside, whatever the pieces."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import timm
import torch
from torch import nn
from tqdm.auto import tqdm

from stflow.embedding import AreaJob, encode_area, prepare
from stflow.embedding import _walk as walk
from stflow.embedding._cache import VectorCache
from stflow.encoders import get_encoder, probe
from stflow.encoders._encoder import Encoder
from stflow.images import Level

SIDE = 700
PATCH, ACROSS, LEADING = 4, 8, 5
TILE = PATCH * ACROSS
MARGIN = 1
STEP = (ACROSS - 2 * MARGIN) * PATCH


class StandIn(nn.Module):
    """What timm's vision transformers show of themselves, with tokens of its own."""

    num_prefix_tokens, cls_token = LEADING, True

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.img_size = (TILE, TILE)

    def forward_features(self, tiles: torch.Tensor) -> torch.Tensor:
        patches = self.patches(tiles).flatten(2).transpose(1, 2)
        registers = torch.full((len(tiles), LEADING - 1, 3), -1e6)
        return torch.cat([tiles.mean((2, 3))[:, None], registers, patches], dim=1)

    def patches(self, tiles: torch.Tensor) -> torch.Tensor:
        """Mean colour of each patch."""
        return nn.functional.avg_pool2d(tiles, PATCH)


class Places(StandIn):
    """Row and column of each patch in its tile."""

    def patches(self, tiles: torch.Tensor) -> torch.Tensor:
        at = torch.arange(ACROSS, dtype=torch.float32)
        rows, columns = torch.meshgrid(at, at, indexing="ij")
        return torch.stack([rows, columns, 0 * rows]).expand(len(tiles), -1, -1, -1)


@pytest.fixture(scope="module")
def picture(waves) -> np.ndarray:
    return waves(SIDE)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """A transformer with registers, whose tokens see all of its tile."""
    torch.manual_seed(0)
    network = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=TILE,
        patch_size=PATCH,
        reg_tokens=LEADING - 1,
        embed_dim=12,
        depth=2,
        num_heads=2,
        num_classes=0,
    )
    with torch.no_grad():
        for tensor in network.parameters():
            tensor += 0.1 * torch.randn(tensor.shape)
    return get_encoder(network).by_tokens()


@pytest.fixture(scope="module")
def centres() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, SIDE, (40, 2))


def read(picture, encoder, centres, *, widths=(20.0, 75.5), piece=96, **how) -> np.ndarray:
    image = how.pop("image", picture)
    centres = np.asarray(centres, dtype=np.float64)
    job = AreaJob(np.arange(len(centres)), [Level(image, (1.0, 1.0))], centres, 1.0, "he")
    how_far = how.pop("how_far", encoder)
    given = {"num_workers": 1, "cache": None, "bar": tqdm(disable=True)} | how
    encoders = given.pop("encoders", [encoder])
    (reach,) = probe(how_far.stages)
    reaches = [[replace(reach, stage=each.stages[0])] for each in encoders]
    shape = (len(centres), len(widths), encoder.width(encoder.tile_px))
    vectors = np.full(shape, np.nan, dtype=np.float32)
    given |= {"widths_px": widths, "columns": range(len(widths)), "piece": piece}
    encode_area([job], encoders, reaches, vectors=vectors, **given)
    return vectors


def test_a_box_of_whole_patches_reads_their_colours(picture):
    encoder = get_encoder(StandIn()).by_tokens()
    width, corners = 5 * PATCH, PATCH * np.array([[10, 3], [0, 0], [77, 150]])
    vectors = read(picture, encoder, corners + width / 2, widths=(width,))[:, 0]
    for vector, (x, y) in zip(vectors, corners, strict=True):
        pixels = picture[:, y : y + width, x : x + width] / 255
        colours = pixels.reshape(3, 5, PATCH, 5, PATCH).mean((2, 4)).reshape(3, -1)
        np.testing.assert_allclose(vector[:3], pixels.mean((1, 2)), atol=1e-5)
        np.testing.assert_allclose(vector[3:6], colours.std(1), atol=1e-5)


def test_a_patch_further_what_is_read_is_a_patch_further(picture):
    encoder = get_encoder(StandIn()).by_tokens()
    centres = np.random.default_rng(2).uniform(100, 600, (10, 2))
    moved = np.roll(picture, (PATCH, 3 * PATCH), axis=(1, 2))
    step = PATCH * np.array([3, 1])
    expected = read(picture, encoder, centres)[..., :6]
    np.testing.assert_allclose(read(moved, encoder, centres + step)[..., :6], expected, atol=1e-5)
    assert np.abs(read(moved, encoder, centres)[..., :6] - expected).max() > 0.01


def test_each_token_is_of_the_tile_in_whose_core_it_lies(picture):
    encoder = get_encoder(Places()).by_tokens()
    patches = np.random.default_rng(3).integers(0, SIDE // PATCH, (60, 2))
    vectors = read(picture, encoder, (patches + 0.5) * PATCH, widths=(PATCH,))[:, 0]
    core = ACROSS - 2 * MARGIN
    np.testing.assert_allclose(vectors[:, :2], MARGIN + patches[:, ::-1] % core, atol=1e-5)
    np.testing.assert_allclose(vectors[:, 3:6], 0, atol=1e-3)


def test_the_class_token_is_interpolated_between_tiles(picture):
    encoder = get_encoder(StandIn()).by_tokens()
    middle = STEP * np.array([12.5, 7.5])
    centres = middle + STEP * np.array([[0, 0], [1, 0], [0, 1], [0.25, 0], [0.5, 1]])
    narrow, wide = read(picture, encoder, centres, widths=(2.0, 90.0))[..., 6:].swapaxes(0, 1)
    np.testing.assert_allclose(narrow, wide, atol=1e-6)

    def tile(column, row) -> np.ndarray:
        x, y = (middle + STEP * np.array([column, row]) - TILE / 2).astype(int)
        return picture[:, y : y + TILE, x : x + TILE].mean((1, 2)) / 255

    expected = [
        tile(0, 0),
        tile(1, 0),
        tile(0, 1),
        0.75 * tile(0, 0) + 0.25 * tile(1, 0),
        (tile(0, 1) + tile(1, 1)) / 2,
    ]
    np.testing.assert_allclose(narrow, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.01


def test_a_transformer_read_tile_by_tile(picture, encoder, centres):
    """Lay the tiles out naively, over the whole picture and the glass around."""
    n = -(-SIDE // STEP) + 4
    pad = 2 * STEP + MARGIN * PATCH
    beyond = n * STEP - SIDE
    padded = np.pad(picture, ((0, 0), (pad, beyond), (pad, beyond)), constant_values=255)
    maps = np.empty((12, n * STEP // PATCH, n * STEP // PATCH))
    for row, column in np.ndindex(n, n):
        y, x = row * STEP, column * STEP
        tile = np.ascontiguousarray(np.moveaxis(padded[:, y : y + TILE, x : x + TILE], 0, -1))
        network = encoder.stages[0].model
        with torch.inference_mode():
            tokens = network.forward_features(encoder.start(tile))[0, LEADING:].T
        core = tokens.unflatten(1, (ACROSS, ACROSS))[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        maps[:, y // PATCH : (y + STEP) // PATCH, x // PATCH : (x + STEP) // PATCH] = core
    at = np.arange(maps.shape[1])
    vectors = read(picture, encoder, centres, widths=(33.3,))[:, 0]
    for vector, centre in zip(vectors, centres, strict=True):
        lower, upper = ((centre + 2 * STEP + side * 33.3 / 2) / PATCH for side in (-1, 1))
        x, y = (
            np.clip(np.minimum(at + 1, upper[i]) - np.maximum(at, lower[i]), 0, None)
            for i in range(2)
        )
        weights = y[:, None] * x / (y.sum() * x.sum())
        mean = (weights * maps).sum((1, 2))
        np.testing.assert_allclose(vector[:12], mean, atol=1e-4)
        spread = np.sqrt((weights * maps**2).sum((1, 2)) - mean**2)
        np.testing.assert_allclose(vector[12:24], spread, atol=1e-4)


@pytest.mark.parametrize("piece", [24, 100, 256, 1024])
def test_pieces_and_blocks_do_not_matter(picture, encoder, centres, piece, monkeypatch):
    expected = read(picture, encoder, centres)
    monkeypatch.setattr(walk, "BLOCK_PX", 50 + piece)
    monkeypatch.setattr(walk, "MOST_SPOTS", 7)
    vectors = read(picture, encoder, centres, piece=piece)
    assert (np.abs(vectors - expected).max(axis=0) < 1e-3 * expected.std(axis=0)).all()


def test_what_else_is_read_does_not_matter(picture, encoder, centres):
    expected = read(picture, encoder, centres)
    vectors = read(picture, encoder, centres[5:9], widths=(75.5,))
    np.testing.assert_allclose(vectors[:, 0], expected[5:9, 1], atol=1e-5)


@pytest.mark.parametrize("chunks", [(3, 100, 64), (1, 700, 33)])
def test_chunks_do_not_matter(picture, encoder, centres, chunks):
    expected = read(picture, encoder, centres)
    vectors = read(picture, encoder, centres, image=da.from_array(picture, chunks=chunks))
    np.testing.assert_array_equal(vectors, expected)


def test_replicas_share_the_tissue(picture, encoder, centres):
    expected = read(picture, encoder, centres)
    replicas = [encoder, replace(encoder, name="another")]
    vectors = read(picture, encoder, centres, encoders=replicas)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_pixel_further_the_vector_moves_smoothly(picture, encoder):
    steps = np.array([[300.0 + step / 8, 300.0] for step in range(9)])
    vectors = read(picture, encoder, steps, widths=(8.0,))[:, 0]
    jumps = np.abs(np.diff(vectors, axis=0)).max(axis=1)
    assert jumps.max() < 0.5 * np.abs(vectors[-1] - vectors[0]).max()


def test_bfloat16_reads_the_same_but_for_rounding(picture, encoder, centres):
    full = read(picture, prepare(encoder, precision="float32", tile_px=TILE), centres)
    low = prepare(encoder, precision="bfloat16", tile_px=TILE)
    assert (low.precision, low.tile_px) == ("bfloat16", TILE)
    vectors = read(picture, low, centres, how_far=encoder)
    norms = np.linalg.norm(full, axis=-1) * np.linalg.norm(vectors, axis=-1)
    assert ((full * vectors).sum(-1) / norms).min() > 0.999
    assert not np.array_equal(full, vectors)


def cache(tmp_path) -> VectorCache:
    return VectorCache(tmp_path / "cache", {"encoder": "vit"}, width=36, n_tiles=80)


def test_what_is_known_is_not_encoded_again(picture, encoder, centres, tmp_path, monkeypatch):
    with cache(tmp_path) as store:
        expected = read(picture, encoder, centres, cache=store)

    def never(*args):
        raise AssertionError("encoded again")

    with monkeypatch.context() as patched, cache(tmp_path) as store:
        patched.setattr(walk.Maps, "_run", never)
        vectors = read(picture, encoder, centres, cache=store)
    np.testing.assert_array_equal(vectors, expected)
    moved = centres + np.array([0.5, 0])
    with cache(tmp_path) as store:
        vectors = read(picture, encoder, moved, cache=store)
    np.testing.assert_array_equal(vectors, read(picture, encoder, moved))


@pytest.mark.parametrize("place", [(0, 0), (20, 5), (70, 70)])
def test_any_pixel_of_the_tiles_around_makes_another_box(picture, encoder, place, tmp_path):
    """The box lies in one corner of a core; what changes is on the other side of its tile."""
    centres, (x, y) = np.full((1, 2), 12 * STEP + 2.0), place
    at = 11 * STEP - MARGIN * PATCH
    changed = picture.copy()
    changed[:, at + y, at + x] ^= 128
    with cache(tmp_path) as store:
        before = read(picture, encoder, centres, widths=(4.0,), piece=STEP, cache=store)
    with cache(tmp_path) as store:
        vectors = read(changed, encoder, centres, widths=(4.0,), piece=STEP, cache=store)
    fresh = read(changed, encoder, centres, widths=(4.0,), piece=STEP)
    np.testing.assert_array_equal(vectors, fresh)
    assert np.array_equal(before, fresh) == (place == (70, 70))
