"""Encoders of transformers: small models from files and through the hub's door."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from stflow.encoders import _registry as registry
from stflow.encoders import get_encoder
from stflow.encoders._card import CLASS, CLASS_AND_MEAN, HALF, Card
from stflow.encoders.families import _hub as hub
from stflow.encoders.families._transformers import blank_transformer

SHAPE = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "patch_size": 8}
CARDS = {
    "ViTModel": {"geometry": {**SHAPE, "image_size": 32, "intermediate_size": 64}, "leading": 1},
    "Dinov2Model": {"geometry": {**SHAPE, "image_size": 32}, "leading": 1},
    "Dinov2WithRegistersModel": {
        "geometry": {**SHAPE, "image_size": 32, "use_swiglu_ffn": True, "num_register_tokens": 4},
        "leading": 5,
    },
}
KINDS = list(CARDS)


@pytest.fixture
def register(monkeypatch):
    def put(architecture: str, **changes) -> Card:
        given = {"name": "small", "family": "transformers", "source": "owner/small", "width": 64}
        given |= {"licence": "MIT", "normalisation": HALF, "tile_px": 32, "any_multiple": 8}
        given |= {"pooling": CLASS_AND_MEAN, "architecture": architecture}
        card = Card(**{**given, **CARDS[architecture], **changes})
        monkeypatch.setitem(registry.CARDS, "small", card)
        return card

    return put


def trained(card: Card) -> nn.Module:
    """The network of a card with weights that no fresh one has."""
    network, generator = blank_transformer(card).model.eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor += 0.2 * torch.randn(tensor.shape, generator=generator)
    return network


def expected(network: nn.Module, tiles: np.ndarray, leading: int) -> torch.Tensor:
    batch = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        tokens = network((batch - 0.5) / 0.5).last_hidden_state
    return torch.cat([tokens[:, 0], tokens[:, leading:].mean(1)], dim=1)


@pytest.fixture
def tiles(rng) -> np.ndarray:
    return rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize("names", ["of the hub", "of the installed version"])
def test_weights_are_pooled_as_the_card_says(architecture, names, register, tiles, tmp_path):
    card = register(architecture)
    network, path = trained(card), tmp_path / "model.safetensors"
    if names == "of the hub":
        network.save_pretrained(tmp_path)
    else:
        save_file(network.state_dict(), path)
    vectors = get_encoder("small", weights=path).encode(tiles)
    np.testing.assert_allclose(vectors, expected(network, tiles, card.leading), atol=1e-4)
    control = expected(blank_transformer(card).model.eval(), tiles, card.leading)
    assert np.abs(vectors - control.numpy()).max() > 0.1


@pytest.mark.parametrize("architecture", KINDS)
def test_the_hub_gives_what_was_put_there(architecture, register, tiles, tmp_path):
    card = register(architecture, source=str(tmp_path / "repository"))
    network = trained(card)
    network.save_pretrained(card.source)
    vectors = get_encoder("small").encode(tiles)
    np.testing.assert_allclose(vectors, expected(network, tiles, card.leading), atol=1e-4)


def test_weights_made_for_larger_images(register, tiles, tmp_path):
    large = register("Dinov2Model", geometry={**SHAPE, "image_size": 64})
    network = trained(large)
    network.save_pretrained(tmp_path)
    register("Dinov2Model")
    encoder = get_encoder("small", weights=tmp_path / "model.safetensors")
    np.testing.assert_allclose(encoder.encode(tiles), expected(network, tiles, 1), atol=1e-4)
    assert encoder.width(64) == 64


@pytest.mark.parametrize("change", ["missing", "unexpected", "mismatched"])
def test_weights_of_another_network(change, register, tmp_path):
    trained(register("Dinov2Model")).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    norm = "layernorm.weight"
    if change == "missing":
        del state[norm]
    else:
        state["more.weight" if change == "unexpected" else norm] = torch.zeros(3)
    save_file(state, path)
    with pytest.raises(ValueError, match=rf"model\.safetensors' do not fit .*({change}|size)"):
        get_encoder("small", weights=path)


def test_a_repository_of_another_network(register, tmp_path):
    wide = register("Dinov2WithRegistersModel", source=str(tmp_path))
    trained(wide).save_pretrained(tmp_path)
    register("Dinov2Model", source=str(tmp_path))
    with pytest.raises(ValueError, match=r"Weights '.*' are not those of the network .*register"):
        get_encoder("small")


def test_without_a_network(register, monkeypatch, tmp_path):
    register("ViTModel", source=str(tmp_path / "nowhere"), pooling=CLASS)
    with pytest.raises(OSError, match=r"Could not get encoder 'small' from the hub: .*weights"):
        get_encoder("small")


def test_without_a_token(register, monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda source, name: None)
    register("ViTModel", gated=True)
    with pytest.raises(OSError, match="No token for encoder 'small', which is gated"):
        get_encoder("small")


def test_without_transformers(register, monkeypatch, tmp_path):
    register("ViTModel")
    monkeypatch.setitem(sys.modules, "transformers", None)
    for weights in (None, tmp_path / "model.safetensors"):
        with pytest.raises(ImportError, match=r"'small' needs `pip install .*\[transformers\]'`"):
            get_encoder("small", weights=weights)
