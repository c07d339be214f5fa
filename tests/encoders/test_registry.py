"""Encoders brought by the user: modules, callables, objects with encode_image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from stflow.encoders import get_encoder
from stflow.encoders._encoder import qualified_name, weights_digest


class Means(nn.Module):
    """Channel means with dropout, which must be off, and a weight."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)
        self.drop = nn.Dropout(0.9)

    def forward(self, tiles):
        return self.drop(self.layer(tiles.mean((-2, -1))))


@pytest.fixture
def tiles(rng) -> np.ndarray:
    return rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


def expected(module: Means, tiles) -> np.ndarray:
    with torch.inference_mode():
        return module.layer(torch.from_numpy(tiles).float().div(255).mean((1, 2))).numpy()


def test_a_module_is_run_in_evaluation_mode_and_left_as_it_was(tiles):
    module = Means().train()
    encoder = get_encoder(module)
    np.testing.assert_allclose(encoder.encode(tiles), expected(module, tiles), atol=1e-6)
    assert module.training
    assert module.layer.weight.requires_grad
    assert encoder.name == qualified_name(module)
    assert encoder.weights_sha256 == weights_digest(module)


def test_an_encoder_does_not_follow_later_training(tiles):
    module = Means()
    encoder = get_encoder(module)
    before = encoder.encode(tiles)
    nn.init.zeros_(module.layer.weight)
    np.testing.assert_array_equal(encoder.encode(tiles), before)


def test_a_callable(colour_encoder, tiles):
    encoder = get_encoder(colour_encoder)
    vectors = encoder.encode(tiles)
    np.testing.assert_allclose(vectors[:, :3], tiles.mean((1, 2)) / 255, atol=1e-6)
    assert encoder.weights_sha256 == qualified_name(colour_encoder)


def test_an_unknown_pooling_lists_the_known():
    with pytest.raises(ValueError, match=r"`pooling` is 'max'; available: 'stages', 'final'"):
        get_encoder("efficientnet_lite0", pooling="max")


def test_options_that_cannot_be_honoured(colour_encoder, tmp_path):
    with pytest.raises(ValueError, match="are for encoders named by a string"):
        get_encoder(colour_encoder, pooling="stages")
    with pytest.raises(ValueError, match="are for encoders named by a string"):
        get_encoder(Means(), weights=tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="has its own normalisation"):
        get_encoder("efficientnet_lite0", transform=colour_encoder)


def test_nothing_that_encodes():
    with pytest.raises(TypeError, match=r"a name, nn\.Module or callable, not int"):
        get_encoder(3)
