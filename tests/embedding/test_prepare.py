"""Prepared encoders: the same vectors, in which precision, on how many devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from stflow.embedding import _prepare as module
from stflow.embedding._prepare import prepare, replicate
from stflow.encoders import get_encoder

LITE0 = "efficientnet_lite0"


@pytest.fixture(scope="module")
def lite0():
    return get_encoder(LITE0)


@pytest.fixture
def tiles(rng) -> np.ndarray:
    waves = np.sin(np.arange(64) / 5)[:, None] * np.cos(np.arange(64) / 9) * 80 + 128
    noise = rng.normal(0, 15, (3, 64, 64, 3))
    return np.clip(waves[None, :, :, None] + noise, 0, 255).astype(np.uint8)


def cosines(first, second) -> np.ndarray:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / norms


def with_bfloat16(monkeypatch, answer: bool) -> None:
    monkeypatch.setattr(module, "computes_bfloat16", lambda device: answer)


def test_float32_is_the_same_to_rounding(lite0, tiles):
    fast = prepare(lite0, precision="float32", tile_px=64)
    expected = lite0.encode(tiles)
    assert fast.precision == "float32"
    assert np.abs(fast.encode(tiles) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_points_the_same_way(lite0, tiles):
    fast = prepare(lite0, precision="bfloat16", tile_px=64)
    vectors, expected = fast.encode(tiles), lite0.encode(tiles)
    assert fast.recipe()["precision"] == "bfloat16"
    assert vectors.dtype == np.float32
    assert cosines(vectors, expected).min() > 0.999
    assert np.abs(vectors - expected).max() > 1e-5 * np.abs(expected).max()
    assert cosines(vectors, expected[::-1]).min() < 0.999


@pytest.mark.parametrize(("there", "chosen"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_device(lite0, monkeypatch, there, chosen, request):
    if there:
        request.getfixturevalue("bfloat16")
    with_bfloat16(monkeypatch, there)
    assert prepare(lite0, precision="auto", tile_px=224).precision == chosen


@pytest.mark.usefixtures("bfloat16")
def test_auto_lowers_only_what_was_asked_for_by_name(lite0, monkeypatch):
    with_bfloat16(monkeypatch, True)
    nameless = replace(lite0, by_name=False)
    assert prepare(nameless, precision="auto", tile_px=224).precision == "float32"
    assert prepare(lite0, precision="auto", tile_px=224).precision == "bfloat16"


class Touchy(nn.Module):
    """Angles of thousands of turns: a small error is any angle."""

    def __init__(self) -> None:
        super().__init__()
        self.angles = nn.Linear(3, 8)

    def forward(self, tiles):
        return torch.sin(1e4 * self.angles(tiles.mean((-2, -1))))


class OnlyFloat32(nn.Module):
    """A network that refuses anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 4, 1)

    def forward(self, tiles):
        features = self.map(tiles)
        if features.dtype != torch.float32:
            raise RuntimeError("float32 alone")
        return features.mean((-2, -1))


@pytest.mark.parametrize("network", [Touchy, OnlyFloat32])
def test_auto_keeps_float32_where_bfloat16_is_not_as_good(network, monkeypatch):
    with_bfloat16(monkeypatch, True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = replace(get_encoder(network()), by_name=True)
    assert prepare(encoder, precision="auto", tile_px=16).precision == "float32"


def test_bfloat16_by_name_is_taken_or_refused():
    low = prepare(get_encoder(Touchy()), precision="bfloat16", tile_px=16)
    assert low.precision == "bfloat16"
    with pytest.raises(ValueError, match=r"bfloat16 on this cpu \(float32 alone\). Take `prec"):
        prepare(get_encoder(OnlyFloat32()), precision="bfloat16", tile_px=16)


def test_a_callable_is_left_alone(rng):
    encoder = get_encoder(lambda batch: batch.mean((-2, -1)))
    assert prepare(encoder, precision="float32", tile_px=8) is encoder


@pytest.mark.usefixtures("bfloat16")
def test_the_encoder_stays_as_it_was(lite0, tiles):
    before = lite0.encode(tiles)
    prepare(lite0, precision="bfloat16", tile_px=64).encode(tiles)
    np.testing.assert_array_equal(lite0.encode(tiles), before)


@pytest.mark.usefixtures("bfloat16")
def test_vectors_do_not_depend_on_company(lite0, rng):
    fast = prepare(lite0, precision="bfloat16", tile_px=64)
    tiles = rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    alone = np.concatenate([fast.encode(tile[None]) for tile in tiles])
    np.testing.assert_allclose(fast.encode(tiles), alone, rtol=1e-2, atol=1e-2)


def test_replicas_are_copies_on_their_devices():
    encoder = get_encoder(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    first, second = replicate(encoder, [torch.device("cpu"), torch.device("meta")])
    assert first is encoder
    assert second.device.type == "meta"
    assert {p.device.type for p in second.model.parameters()} == {"meta"}
    assert {p.device.type for p in first.model.parameters()} == {"cpu"}


def test_a_callable_cannot_be_copied():
    encoder = get_encoder(lambda batch: batch.mean((-2, -1)))
    cpu = torch.device("cpu")
    assert replicate(encoder, [cpu]) == [encoder]
    with pytest.raises(ValueError, match="cannot be copied to several devices"):
        replicate(encoder, [cpu, cpu])
