from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from stflow.bench.methods import METHODS, STNet
from stflow.bench.methods._parts import _trunk
from stflow.bench.methods._parts._augment import normalise_tiles
from stflow.bench.methods._parts._crops import in_turn
from stflow.bench.methods._parts._trunk import BATCH, TRUNKS, TileTraining, build_trunk
from stflow.slide._rows import PickedRows

CPU = torch.device("cpu")
QUICK = {"protocol": "hest", "device": "cpu", "max_epochs": 2}
TILES = [name for name, method in METHODS.items() if name in ("stnet", "stnet_finetuned", "bleep")]
GREY = np.full((2, 64, 64, 3), 128, dtype=np.uint8)


class Sums(TileTraining):
    """Batches alone matter."""

    def loss(self, batch):
        raise NotImplementedError

    def predict(self, slide):
        raise NotImplementedError


def test_the_installed_weights_give_features_of_their_own_normalisation():
    trunk = build_trunk("efficientnet_lite0").eval()
    pixels = trunk.pixels(GREY)
    assert trunk.width == 1280
    assert pixels.unique().tolist() == pytest.approx([2 * 128 / 255 - 1], abs=1e-6)
    assert trunk(pixels).shape == (2, 1280)
    assert torch.equal(trunk(pixels), build_trunk("efficientnet_lite0").eval()(pixels))


@pytest.mark.parametrize(("name", "width"), [("densenet121", 1024), ("resnet50", 2048)])
def test_weights_fill_the_trunk(name: str, width: int, tmp_path):
    with torch.random.fork_rng(devices=[]):
        stored = timm.create_model(name).eval()
    save_file(stored.state_dict(), tmp_path / "weights.safetensors")
    before = torch.random.get_rng_state()
    trunk = build_trunk(name, tmp_path / "weights.safetensors").eval()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert trunk.width == width
    assert torch.equal(trunk.pixels(GREY), normalise_tiles(GREY))
    with torch.inference_mode():
        features = trunk(trunk.pixels(GREY))
        expected = stored.forward_head(stored.forward_features(normalise_tiles(GREY)), True)
    assert features.shape == (2, width)
    assert torch.allclose(features, expected)
    with pytest.raises(ValueError, match="do not fit"):
        build_trunk("resnet18", tmp_path / "weights.safetensors")


def test_weights_out_of_reach_say_what_to_do(arrays, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", fail)
    expected = r"'densenet121' from the hub: no route.*`weights=`.*trunk='efficientnet_lite0'"
    with pytest.raises(OSError, match=expected):
        STNet(**QUICK).fit(arrays)


@pytest.mark.parametrize("name", TILES)
def test_wrong_arguments_are_refused(name: str, tmp_path):
    method = METHODS[name]
    with pytest.raises(ValueError, match="`trunk` is 'vgg'; available: 'densenet121', 'resnet50'"):
        method(trunk="vgg")
    with pytest.raises(FileNotFoundError, match=r"No file of weights 'nowhere\.pth'"):
        method(weights="nowhere.pth")
    (tmp_path / "weights.pth").touch()
    with pytest.raises(ValueError, match="brings its weights"):
        method(trunk="efficientnet_lite0", weights=tmp_path / "weights.pth")
    assert [method(trunk=trunk).trunk for trunk in TRUNKS] == list(TRUNKS)


@pytest.mark.parametrize("name", TILES)
def test_wrong_slides_are_refused_before_a_trunk_is_built(name: str, arrays, tiny_trunk):
    method = METHODS[name](**QUICK)
    bare = replace(arrays[1], tiles=None)
    small = replace(arrays[1], tiles=arrays[1].tiles[:, ::2, ::2])
    unknown = replace(arrays[1], expression=None)
    for slide, message in (
        (bare, "S2 has no tiles"),
        (small, "Tiles of S2 are 14 x 14 px, those of S1 28 x 28 px"),
        (unknown, "S2 has no expression"),
    ):
        with pytest.raises(ValueError, match=message):
            method.fit([arrays[0], slide])
    with pytest.raises(RuntimeError, match="not fitted"):
        method.predict(bare)
    assert tiny_trunk == []
    with pytest.raises(ValueError, match="S2 has no tiles"):
        method.fit(arrays[:2]).predict(bare)


@pytest.mark.parametrize("name", TILES)
def test_the_same_seed_gives_the_same_numbers(name: str, arrays, tiny_trunk):
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = (
        METHODS[name](**QUICK).fit(arrays[:2], seed=seed).predict(arrays[2]) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("name", TILES)
def test_only_tiles_are_looked_at(name: str, arrays, tiny_trunk):
    blind = [replace(slide, embedding=np.zeros((slide.n_spots, 1), "f4")) for slide in arrays]
    plain = METHODS[name](**QUICK).fit(arrays[:2]).predict(arrays[2])
    assert np.array_equal(METHODS[name](**QUICK).fit(blind[:2]).predict(blind[2]), plain)
    grey = replace(blind[2], tiles=np.full_like(blind[2].tiles, 128))
    predicted = METHODS[name](**QUICK).fit(blind[:2]).predict(grey)
    assert np.allclose(predicted, predicted[0], atol=1e-5)


@pytest.mark.parametrize("name", TILES)
def test_tiles_on_disk_and_a_single_slide_do(name: str, arrays, tiny_trunk, tmp_path):
    with h5py.File(tmp_path / "tiles.h5", "w") as file:
        stored = replace(arrays[0], tiles=file.create_dataset("img", data=arrays[0].tiles))
        picked = replace(arrays[0], tiles=PickedRows(stored.tiles, np.arange(100)))
        of_disk = METHODS[name](**QUICK).fit([picked]).predict(stored)
    in_memory = METHODS[name](**QUICK).fit([arrays[0]]).predict(arrays[0])
    assert np.array_equal(of_disk, in_memory)


def test_an_epoch_shows_every_spot_once_beside_its_expression(arrays, rng):
    marked = [
        replace(slide, embedding=100.0 * which + np.arange(100, dtype=np.float32)[:, None])
        for which, slide in enumerate(arrays)
    ]
    training = Sums(marked, None, CPU)
    batches = list(training.batches(rng))
    assert [len(inputs) for inputs, _ in batches] == [100, 100, 100]
    seen = torch.cat([inputs for inputs, _ in batches])[:, 0].int()
    assert seen.sort().values.tolist() == list(range(300))
    assert not torch.equal(seen, seen.sort().values)
    assert len(set((batches[0][0] // 100).int().flatten().tolist())) == 3
    measured = torch.cat([expression for _, expression in batches]).numpy()
    assert np.array_equal(measured, np.concatenate([s.expression for s in arrays])[seen])


def test_tiles_are_turned_in_training_and_plain_in_prediction(arrays, rng, tiny_trunk):
    training = Sums(arrays[:1], _trunk.build_trunk(), CPU)
    plain = torch.cat(list(training.inputs(arrays[0])))
    assert torch.equal(plain, normalise_tiles(arrays[0].tiles))
    ((turned, measured),) = training.batches(rng)
    assert np.array_equal(measured.numpy(), arrays[0].expression)
    same = (turned == plain).flatten(1).all(1).float().mean()
    assert 0 < same < 0.4
    assert torch.allclose(turned.mean((2, 3)), plain.mean((2, 3)), atol=1e-5)


def test_no_batch_is_larger_than_128(arrays):
    slide = arrays[0]
    spots = np.arange(257) % slide.n_spots
    many = replace(
        slide,
        coords=slide.coords[spots],
        graph=slide.graph[spots][:, spots],
        embedding=slide.embedding[spots],
        rows=spots,
        expression=slide.expression[spots],
        totals=slide.totals[spots],
        tiles=slide.tiles[spots],
    )
    assert [len(rows) for rows in in_turn(many, BATCH)] == [BATCH, BATCH, 1]
    training = Sums([many], None, CPU)
    sizes = [len(inputs) for inputs, _ in training.batches(np.random.default_rng(0))]
    assert sizes == [86, 86, 85]


@pytest.mark.parametrize("name", TILES)
def test_a_trunk_trained_along_moves_and_a_frozen_one_does_not(name: str, arrays, tiny_trunk):
    method = METHODS[name](**QUICK).fit(arrays[:2])
    used, fresh = (trunk.state_dict() for trunk in (tiny_trunk[-1], _trunk.build_trunk()))
    moved = {key for key in fresh if not torch.equal(used[key], fresh[key])}
    expected = set() if method.frozen else {"network.0.weight", "network.3.weight"}
    assert moved & {"network.0.weight", "network.3.weight"} == expected
    assert not (method.frozen and moved)
