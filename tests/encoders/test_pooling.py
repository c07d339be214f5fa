"""Pooling of stages against known answers."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from stflow.encoders._pooling import StagePool, is_convolutional, pool_stages
from stflow.encoders._stages import Stage


class Doubling(nn.Module):
    """A network of two stages: the tiles, and their left half doubled."""

    def forward_intermediates(self, tiles, *, intermediates_only, output_fmt):
        assert intermediates_only
        assert output_fmt == "NCHW"
        return [tiles, 2 * tiles[:, :1, :, : tiles.shape[-1] // 2]]


def test_mean_and_standard_deviation_map_by_map():
    tiles = torch.arange(2 * 3 * 2 * 4, dtype=torch.float32).reshape(2, 3, 2, 4)
    vectors = pool_stages(Doubling())(tiles)
    left = 2 * tiles[:, :1, :, :2].numpy()
    parts = [m.reshape(2, m.shape[1], -1) for m in (tiles.numpy(), left)]
    expected = np.concatenate([f(p, axis=-1) for p in parts for f in (np.mean, np.std)], axis=1)
    assert vectors.shape == (2, 8)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_a_map_of_one_pixel_deviates_by_zero():
    pooled = StagePool(nn.ModuleList([Stage(nn.Identity())]))
    assert pooled(torch.full((1, 3, 1, 1), 5.0)).tolist() == [[5, 5, 5, 0, 0, 0]]


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "regnetx_002"])
def test_networks_cut_into_stages_give_the_maps_that_they_show(name):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0).eval()
    tiles = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        shown = model.forward_intermediates(tiles, intermediates_only=True, output_fmt="NCHW")
        pooled = pool_stages(model)
        vectors = pooled(tiles)
    expected = [f(m) for m in shown for f in (lambda m: m.mean((2, 3)), spread)]
    assert len(pooled.stages) == len(shown)
    torch.testing.assert_close(vectors, torch.cat(expected, dim=1))


def test_efficientnets_pool_the_maps_after_every_block_but_the_first():
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    seen = {}
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _, __, out, i=i: seen.__setitem__(i, out))
    tiles = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        vectors = pool_stages(model)(tiles)
        model(tiles)
    expected = [f(seen[i]) for i in range(1, 7) for f in (lambda m: m.mean((2, 3)), spread)]
    assert [seen[i].shape[1] for i in range(1, 7)] == [24, 40, 80, 112, 192, 320]
    torch.testing.assert_close(vectors, torch.cat(expected, dim=1))


def spread(maps: torch.Tensor) -> torch.Tensor:
    return maps.std((2, 3), correction=0)


@pytest.mark.parametrize(
    ("name", "convolutional"),
    [
        ("tf_efficientnet_lite0", True),
        ("resnet18", True),
        ("convnext_atto", True),
        ("vit_tiny_patch16_224", False),
        ("swin_tiny_patch4_window7_224", False),
    ],
)
def test_convolutional_networks_are_told_apart(name, convolutional):
    with torch.device("meta"):
        assert is_convolutional(timm.create_model(name, num_classes=0)) == convolutional


def test_a_network_that_shows_no_maps_has_no_stages():
    assert not is_convolutional(nn.Conv2d(3, 3, 1))
