"""Encoders whose weights come as a file: names of tensors, the stem, what is said without one."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from stflow.encoders import get_encoder
from stflow.encoders._card import IMAGENET
from stflow.encoders._cards import CARDS
from stflow.encoders.families import _hub as hub
from stflow.encoders.families._local import ConvStem, blank_ctranspath


@pytest.fixture(autouse=True)
def _told(monkeypatch):
    monkeypatch.setattr(hub, "_told", {"ctranspath"})


def normalised(tiles: np.ndarray) -> torch.Tensor:
    batch = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    return (batch - shift) / scale


@pytest.mark.parametrize("prefix", ["", "model.resnet."])
def test_ciga_is_torchvisions_resnet18_whatever_was_put_before_the_names(prefix, rng, tmp_path):
    network, path = torchvision.models.resnet18().eval(), tmp_path / "weights.ckpt"
    state = {f"{prefix}{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, path)
    tiles = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    network.fc = nn.Identity()
    with torch.inference_mode():
        expected = network(normalised(tiles)).numpy()
    encoder = get_encoder("ciga", weights=path, pooling="final")
    np.testing.assert_allclose(encoder.encode(tiles), expected, atol=1e-4)
    assert encoder.width(64) == 512
    stages = get_encoder("ciga", weights=path)
    assert (stages.pooling, stages.width(64)) == ("stages", 2048)


@pytest.mark.slow
def test_ctranspath_loads_tensors_named_as_its_authors_named_them(tmp_path):
    card, path = CARDS["ctranspath"], tmp_path / "ctranspath.pth"
    network, generator = blank_ctranspath(card).eval(), torch.Generator().manual_seed(1)
    tiles = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    with torch.no_grad():
        fresh = network(normalised(tiles)).numpy()
        for tensor in network.parameters():
            tensor += 0.05 * torch.randn(tensor.shape, generator=generator)
    torch.save({"model": dict(as_published(network))}, path)
    with torch.inference_mode():
        expected = network(normalised(tiles)).numpy()
    encoder = get_encoder("ctranspath", weights=path)
    np.testing.assert_allclose(encoder.encode(tiles), expected, atol=1e-4)
    assert np.abs(expected - fresh).max() > 0.1


def as_published(network: nn.Module):
    """Older names: stages end by halving the image, and fixed tables are stored too."""
    for key, value in network.state_dict().items():
        stage, _, rest = key.removeprefix("layers.").partition(".")
        if rest.startswith("downsample"):
            key = f"layers.{int(stage) - 1}.{rest}"
        yield key, value
    yield "layers.0.blocks.0.attn.relative_position_index", torch.zeros(49, 49)


def test_a_plain_swin_transformer_is_not_ctranspath(tmp_path):
    path = tmp_path / "swin.safetensors"
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    save_file(swin.state_dict(), path)
    with pytest.raises(
        ValueError, match=r"swin\.safetensors' do not fit .*without the convolutional stem"
    ):
        get_encoder("ctranspath", weights=path)


def test_the_stem_makes_patches_of_four_pixels():
    stem = ConvStem((224, 224), 4, 3, 96, nn.LayerNorm).eval()
    assert stem.grid_size == (56, 56)
    assert [layer.out_channels for layer in stem.proj if isinstance(layer, nn.Conv2d)] == [
        12,
        24,
        96,
    ]
    tiles = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    patches = stem(tiles)
    assert patches.shape == (2, 56, 56, 96)
    tiles[:, :, 112:] = 0
    torch.testing.assert_close(stem(tiles)[:, :27], patches[:, :27])
    assert (stem(tiles)[:, 28:] - patches[:, 28:]).abs().max() > 0.1


@pytest.mark.parametrize("name", ["ciga", "ctranspath"])
def test_without_a_file_the_message_says_where_it_is(name, tmp_path):
    with pytest.raises(OSError, match=rf"'{name}' are not on the hub\. .*github.*`weights=`"):
        get_encoder(name)
    with pytest.raises(FileNotFoundError, match="No file of weights"):
        get_encoder(name, weights=tmp_path / "nowhere")
