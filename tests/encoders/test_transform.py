"""Resize and crop against Pillow and against what is not cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from stflow.encoders._transform import ResizeCrop

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def as_tiles(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("side", [56, 64, 97])
def test_it_resizes_as_pillow_does_and_keeps_the_middle(rng, side):
    pixels = rng.integers(80, 176, (side, side, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    expected = np.asarray(image.crop((4, 4, 60, 60))) / 255
    found = ResizeCrop(64, 56, **PLAIN)(as_tiles(pixels))[0].permute(1, 2, 0).numpy()
    assert found.shape == (56, 56, 3)
    np.testing.assert_allclose(found, expected, atol=1.5 / 255)
    shifted = np.asarray(image.crop((5, 4, 61, 60))) / 255
    assert np.abs(found - shifted).max() > 0.1


def test_channels_are_normalised_after_the_cut(rng):
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    found = ResizeCrop(64, 56, mean=mean, std=std)(as_tiles(pixels))[0].permute(1, 2, 0)
    expected = (pixels[4:60, 4:60] / 255 - mean) / std
    np.testing.assert_allclose(found, expected, atol=1e-5)
