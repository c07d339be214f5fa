"""Pooling of tokens on a fake transformer whose tokens are known, and promises that are kept."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stflow.encoders._card import CLASS, CLASS_AND_MEAN, MEAN, Card
from stflow.encoders._tokens import Promised, TokenPool

WIDTH = 3


class FakeViT(nn.Module):
    """Token t of tile b is 100 b + t in every channel; registers are nowhere near the patches."""

    def __init__(self, leading, patches=4):
        super().__init__()
        self.leading, self.patches = leading, patches

    def forward_features(self, tiles):
        tokens = torch.arange(self.leading + self.patches, dtype=torch.float32)
        tokens[1 : self.leading] = -1e6
        rows = 100 * torch.arange(len(tiles), dtype=torch.float32)
        return (rows[:, None] + tokens)[..., None].expand(-1, -1, WIDTH)


@pytest.mark.parametrize("leading", [1, 5, 9])
@pytest.mark.parametrize("pooling", [CLASS, MEAN, CLASS_AND_MEAN])
def test_tokens_are_pooled_as_named(pooling, leading):
    mean = leading + 1.5
    expected = {CLASS: [0.0], MEAN: [mean], CLASS_AND_MEAN: [0.0, mean]}[pooling]
    vectors = TokenPool(FakeViT(leading), pooling=pooling, leading=leading)(torch.zeros(2, 3, 8, 8))
    wanted = torch.tensor(expected).repeat_interleave(WIDTH)
    torch.testing.assert_close(vectors, torch.stack([wanted, wanted + 100]))


def test_a_register_taken_for_a_patch_would_show():
    pool = TokenPool(FakeViT(5), pooling=MEAN, leading=4)
    assert pool(torch.zeros(1, 3, 8, 8)).max() < -1e5


def card(**kwargs) -> Card:
    given = {"name": "fake", "family": "vit", "source": "a/b", "width": 3, "licence": "open"}
    return Card(**{**given, **kwargs})


def means(tiles: torch.Tensor) -> torch.Tensor:
    return tiles.mean((-2, -1))


def test_only_the_side_that_is_read_is_let_through():
    model = Promised(means, card(tile_px=448), width=3)
    assert model(torch.zeros(2, 3, 448, 448)).shape == (2, 3)
    for height, width in ((224, 224), (448, 224), (896, 896)):
        with pytest.raises(ValueError, match=r"'fake' reads tiles of 448 px .*`tile_px=448`\."):
            model(torch.zeros(1, 3, height, width))


def test_multiples_of_a_patch_are_let_through_where_the_network_reads_them():
    model = Promised(means, card(any_multiple=14), width=3)
    assert model(torch.zeros(1, 3, 238, 238)).shape == (1, 3)
    with pytest.raises(ValueError, match="`tile_px=224`, or a multiple of 14"):
        model(torch.zeros(1, 3, 256, 256))


def test_a_width_that_was_not_promised_is_refused():
    model = Promised(means, card(), width=1024)
    with pytest.raises(ValueError, match=r"'fake' gives vectors of 3 values .* says 1024"):
        model(torch.zeros(1, 3, 224, 224))
