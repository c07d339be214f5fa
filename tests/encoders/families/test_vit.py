"""Vision transformers by name: a small card through the hub's door and from a file."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from stflow.encoders import LicenceNotice, get_encoder
from stflow.encoders import _registry as registry
from stflow.encoders._card import CLASS, CLASS_AND_MEAN, Card
from stflow.encoders._encoder import weights_digest
from stflow.encoders.families import _hub as hub
from stflow.encoders.families import _vit as family
from stflow.encoders.families._vit import blank_vit

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
SMALL = {
    "name": "small",
    "family": "vit",
    "source": "owner/small",
    "width": 96,
    "licence": "CC-BY-NC-ND-4.0",
    "gated": True,
    "normalisation": (MEAN, STD),
    "tile_px": 32,
    "pooling": CLASS_AND_MEAN,
    "leading": 3,
    "architecture": "vit_tiny_patch16_224",
    "geometry": {"img_size": 32, "depth": 1, "embed_dim": 48, "num_heads": 2},
    "options": {"reg_tokens": 2, "patch_size": 8},
}


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda source, name: None)
    monkeypatch.setattr(hub, "_told", {"small"})


@pytest.fixture
def register(monkeypatch):
    def put(**changes) -> Card:
        card = Card(**{**SMALL, **changes})
        monkeypatch.setitem(registry.CARDS, card.name, card)
        return card

    return put


@pytest.fixture
def tiles(rng) -> np.ndarray:
    return rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def trained(card: Card) -> torch.nn.Module:
    """The network of a card with weights that no fresh one has."""
    network, generator = blank_vit(card), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor += 0.1 * torch.randn(tensor.shape, generator=generator)
    return network


def tokens(network, tiles) -> torch.Tensor:
    batch = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        return network.eval().forward_features((batch - shift) / scale)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_are_normalised_and_pooled_as_the_card_says(suffix, register, tiles, tmp_path):
    network, path = trained(register()), tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(network.state_dict(), path)
    else:
        save_file(network.state_dict(), path)
    encoder = get_encoder("small", weights=path)
    found = tokens(network, tiles)
    expected = torch.cat([found[:, 0], found[:, 3:].mean(1)], dim=1)
    np.testing.assert_allclose(encoder.encode(tiles), expected, atol=1e-5)
    assert (encoder.name, encoder.pooling) == ("small", "final")
    assert (encoder.mean, encoder.std) == (MEAN, STD)
    assert encoder.weights_sha256 == weights_digest(network)
    other = tokens(blank_vit(register()), tiles)
    assert np.abs(encoder.encode(tiles)[:, :48] - other[:, 0].numpy()).max() > 0.01


def test_the_hub_is_asked_as_the_model_card_asks(register, monkeypatch, tiles):
    asked = []
    network = trained(register())

    def create(name, **kwargs):
        asked.append((name, kwargs))
        return network

    monkeypatch.setattr(hub, "get_token", lambda: "hf_mine")
    monkeypatch.setattr(family.timm, "create_model", create)
    assert get_encoder("small").width(32) == 96
    options = {"pretrained": True, "num_classes": 0, **SMALL["options"]}
    assert asked == [("hf-hub:owner/small", options)]


def test_without_a_token_the_hub_is_not_asked(register, monkeypatch):
    register()
    monkeypatch.setattr(family.timm, "create_model", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(OSError, match=r"No token for encoder 'small'.*huggingface\.co/owner/small"):
        get_encoder("small")


def test_tiles_that_do_not_fit_name_those_that_do(register, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(trained(register()).state_dict(), path)
    encoder = get_encoder("small", weights=path)
    with pytest.raises(ValueError, match=r"does not encode tiles of 224 px .* `tile_px=32`"):
        encoder.width(224)
    assert encoder.width(32) == 96


def test_another_width_than_the_registry_says(register, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(trained(register(width=1024, pooling=CLASS)).state_dict(), path)
    encoder = get_encoder("small", weights=path)
    with pytest.raises(ValueError, match=r"'small' gives vectors of 48 values .* says 1024"):
        encoder.width(32)


def test_weights_of_another_model(register, tmp_path):
    register()
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(ValueError, match=r"weights\.safetensors' do not fit the encoder"):
        get_encoder("small", weights=path)
    with pytest.raises(FileNotFoundError, match="No file of weights"):
        get_encoder("small", weights=tmp_path / "nowhere")


def test_tokens_have_no_stages(register, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(trained(register()).state_dict(), path)
    with pytest.raises(ValueError, match="'small' has no convolutional stages"):
        get_encoder("small", weights=path, pooling="stages")


def test_a_card_that_resizes_takes_tiles_of_any_size(register, rng, tmp_path):
    network = trained(register(resize=40, any_multiple=1))
    path = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), path)
    encoder = get_encoder("small", weights=path)
    tiles = rng.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    middle = tokens(network, tiles[:, 4:36, 4:36])
    np.testing.assert_allclose(encoder.encode(tiles)[:, :48], middle[:, 0], atol=1e-4)
    assert encoder.width(32) == encoder.width(57) == 96
    assert encoder.recipe()["transform"].startswith("ResizeCrop(resize=40, crop=32")


def test_the_licence_is_shown_when_the_encoder_is_first_built(register, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_told", set())
    path = tmp_path / "weights.safetensors"
    save_file(trained(register()).state_dict(), path)
    with pytest.warns(LicenceNotice, match="CC-BY-NC-ND"):
        get_encoder("small", weights=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        get_encoder("small", weights=path)
