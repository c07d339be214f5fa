"""CONCH through a stand-in for its package: what is asked of it, what is said without it."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from stflow.encoders import LicenceNotice, get_encoder
from stflow.encoders.families import _hub as hub


class Tower(nn.Module):
    """An image tower whose projection gives other vectors than it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(512.0))

    def encode_image(self, tiles, *, proj_contrast=True, normalize=True):
        vectors = tiles.mean((1, 2, 3))[:, None] + self.weight
        vectors = vectors - 1000 if proj_contrast else vectors
        return vectors / vectors.norm(dim=1, keepdim=True) if normalize else vectors


@pytest.fixture
def package(monkeypatch):
    """Stands in for the package; collects what was asked of it."""
    asked = []

    def create_model_from_pretrained(name, weights):
        asked.append((name, weights))
        if weights.endswith("wrong.bin"):
            raise RuntimeError("size mismatch")
        return Tower(), None

    module = ModuleType("conch.open_clip_custom")
    module.create_model_from_pretrained = create_model_from_pretrained
    monkeypatch.setitem(sys.modules, "conch", ModuleType("conch"))
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", module)
    monkeypatch.setattr(hub, "_told", {"conch"})
    return asked


def test_the_vectors_are_those_before_the_projection(package, monkeypatch, rng):
    monkeypatch.setattr(hub, "get_token", lambda: "hf_mine")
    encoder = get_encoder("conch")
    assert package == [("conch_ViT-B-16", "hf_hub:MahmoodLab/conch")]
    tiles = rng.integers(0, 256, (2, 448, 448, 3), dtype=np.uint8)
    mean, std = np.array(encoder.mean), np.array(encoder.std)
    means = ((tiles / 255 - mean) / std).mean((1, 2, 3))
    expected = means[:, None] + np.arange(512)
    np.testing.assert_allclose(encoder.encode(tiles), expected, rtol=1e-5, atol=1e-4)
    with pytest.raises(ValueError, match=r"'conch' reads tiles of 448 px .* `tile_px=448`"):
        encoder.width(224)


def test_a_file_instead_of_the_hub(package, tmp_path):
    path = tmp_path / "weights.bin"
    path.touch()
    assert get_encoder("conch", weights=path).width(448) == 512
    assert package == [("conch_ViT-B-16", str(path))]
    with pytest.raises(FileNotFoundError, match="No file of weights"):
        get_encoder("conch", weights=tmp_path / "nowhere")
    (tmp_path / "wrong.bin").touch()
    with pytest.raises(ValueError, match=r"wrong\.bin' do not fit the encoder: size mismatch"):
        get_encoder("conch", weights=tmp_path / "wrong.bin")


def test_without_a_token_it_is_not_asked_for(package, monkeypatch):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda source, name: None)
    with pytest.raises(
        OSError, match=r"'conch', which is gated\..*huggingface\.co/MahmoodLab/conch"
    ):
        get_encoder("conch")
    assert package == []


@pytest.mark.filterwarnings(f"ignore::{LicenceNotice.__module__}.{LicenceNotice.__name__}")
def test_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "conch", None)
    with pytest.raises(ImportError, match=r"'conch' needs `pip install git\+https://.*CONCH\.git`"):
        get_encoder("conch")
