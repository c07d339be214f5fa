"""A transformer's tokens as maps: which tile each comes from, and what shows no tokens."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from stflow.encoders import get_encoder, halo_px, probe
from stflow.encoders._card import CLASS, CLASS_AND_MEAN, Card
from stflow.encoders._cards import ALL
from stflow.encoders._registry import assemble
from stflow.encoders._token_area import TokenStage, token_area
from stflow.encoders._tokens import TokenPool
from stflow.encoders._transform import ResizeCrop
from stflow.encoders.families._transformers import blank_transformer
from stflow.encoders.families._vit import blank_vit

PATCH = 4


class Places(nn.Module):
    """Tokens know row and column in their tile; the class token is the tile's mean colour."""

    def __init__(self, leading: int) -> None:
        super().__init__()
        self.leading = leading

    def forward_features(self, tiles: torch.Tensor) -> torch.Tensor:
        n, _, _, side = tiles.shape
        at = torch.cartesian_prod(*[torch.arange(side // PATCH, dtype=torch.float32)] * 2)
        patches = torch.cat([at, torch.zeros(len(at), 1)], dim=1).expand(n, -1, -1)
        registers = torch.full((n, self.leading - 1, 3), -1e6)
        return torch.cat([tiles.mean((2, 3))[:, None], registers, patches], dim=1)


@pytest.mark.parametrize("leading", [1, 5, 9])
@pytest.mark.parametrize("across", [2, 4, 7, 14, 16])
def test_each_token_is_of_the_tile_in_which_it_lies_farthest_from_the_border(leading, across):
    stage = TokenStage(Places(leading), leading=leading, side=across * PATCH, across=across)
    rows, columns = 2, 3
    core, margin = stage.core, stage.margin
    assert core + 2 * margin == across
    height, width = ((n * core + 2 * margin) * PATCH for n in (rows, columns))
    places, classes = stage(torch.zeros(1, 3, height, width))
    assert places.shape == (1, 3, rows * core, columns * core)
    assert classes.shape == (1, 3, rows, columns)
    for got, n in ((places[0, 0, :, 0].numpy(), rows), (places[0, 1, 0].numpy(), columns)):
        at = np.arange(n * core)
        tiles = np.arange(-2, n + 2)[:, None]
        inside = at + margin - tiles * core
        edge = np.minimum(inside, across - 1 - inside)
        best = inside[edge.argmax(axis=0), at]
        np.testing.assert_array_equal(edge.max(axis=0), np.minimum(got, across - 1 - got))
        np.testing.assert_array_equal(got, best)


def test_class_tokens_are_those_of_the_tiles():
    torch.manual_seed(0)
    stage = TokenStage(Places(5), leading=5, side=14 * PATCH, across=14)
    pixels = torch.rand(2, 3, (2 * 10 + 4) * PATCH, (3 * 10 + 4) * PATCH)
    _, classes = stage(pixels)
    tile = pixels[1, :, 40 : 40 + 56, 80 : 80 + 56]
    torch.testing.assert_close(classes[1, :, 1, 2], tile.mean((1, 2)))


def test_many_tiles_are_those_of_one_at_a_time(monkeypatch):
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=0).eval()
    area = token_area(network)
    pixels = torch.randn(1, 3, 5 * 32 + 32, 4 * 32 + 32)
    with torch.inference_mode():
        expected = area.stages[0](pixels)
        monkeypatch.setattr("stflow.encoders._token_area.AT_A_TIME", 3)
        for one, other in zip(area.stages[0](pixels), expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_tile_reads_its_core_and_its_class_token():
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=0).eval()
    tiles = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        vectors = token_area(network)(tiles)
        tokens = network.forward_features(tiles)
    core = tokens[:, 1:].unflatten(1, (4, 4))[:, 1:3, 1:3].flatten(1, 2)
    expected = torch.cat([core.mean(1), core.std(1, correction=0), tokens[:, 0]], dim=1)
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "across"),
    [
        ("vit_tiny_patch16_224", {}, 14),
        ("vit_small_patch14_reg4_dinov2", {"img_size": 224}, 16),
        ("vit_tiny_patch16_224", {"dynamic_img_size": True}, 14),
        ("eva02_tiny_patch14_224", {}, 16),
    ],
)
def test_transformers_of_timm(name, options, across):
    network = timm.create_model(name, num_classes=0, depth=1, **options).eval()
    encoder = get_encoder(network).by_tokens()
    (reach,) = probe(encoder.stages)
    patch = 224 // across
    assert (encoder.pooling, encoder.tile_px) == ("tokens", 224)
    assert (reach.strides, reach.halo) == ((patch,), 2 * patch)
    assert reach.tile_step == (across - 4) * patch
    assert [len(level) for level in reach.levels] == [network.num_features] * 2
    assert halo_px([reach]) == 2 * patch + reach.tile_step // 2
    assert encoder.width(224) == 3 * network.num_features
    told = encoder.recipe()
    assert (told["token_tile_px"], told["token_overlap_px"]) == (224, 4 * patch)
    assert "token_tile_px" not in get_encoder(network).recipe()


BLANK = {"vit": blank_vit, "transformers": blank_transformer}


@pytest.mark.parametrize("card", [each for each in ALL if each.pooling], ids=lambda card: card.name)
def test_every_transformer_of_the_registry(card):
    with torch.device("meta"):
        network = BLANK[card.family](card).eval()
        area = token_area(assemble(card, network, pooling="final"))
        vectors = area(torch.empty(2, 3, area.side, area.side))
    assert area.side == card.tile_px
    assert vectors.shape == (2, 3 * card.width // (1 + (card.pooling == CLASS_AND_MEAN)))


@pytest.mark.parametrize("pooling", [CLASS, CLASS_AND_MEAN])
def test_the_tokens_of_a_card_are_those_of_its_network(pooling):
    card = Card(
        name="fake", family="vit", source="a/b", width=3, licence="open", tile_px=32, leading=5
    )
    model = assemble(card, TokenPool(Places(5), pooling=pooling, leading=5), pooling="final")
    area = token_area(model)
    assert (area.side, area.overlap) == (32, 2 * PATCH)
    assert area.stages[0].leading == 5


class NoSquare(Places):
    """A token too many."""

    num_prefix_tokens, cls_token = 1, True

    def __init__(self, side):
        super().__init__(2)
        self.patch_embed = nn.Module()
        self.patch_embed.img_size = (side, side)


@pytest.mark.parametrize(
    "model",
    [
        lambda tiles: tiles.mean((2, 3)),
        nn.Conv2d(3, 3, 1),
        timm.create_model("vit_base_patch16_siglip_224", num_classes=0, depth=1),
        timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, depths=(1, 1, 1, 1)),
        timm.create_model("resnet10t", num_classes=0),
        NoSquare(32),
    ],
    ids=["callable", "convolution", "no class token", "windows", "resnet", "no square"],
)
def test_what_shows_no_tokens_stays_as_it_is(model):
    assert token_area(model) is None
    encoder = get_encoder(model)
    assert encoder.by_tokens() is encoder


def test_turned_or_changed_tiles_show_no_tokens():
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=0)
    for how in ({"dihedral": True}, {"transform": torch.sqrt}):
        assert get_encoder(network, **how).by_tokens().pooling == "final"


def test_the_tissue_is_not_resized():
    network = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=0)
    resize = ResizeCrop(80, 64, (0.5,) * 3, (0.5,) * 3)
    encoder = get_encoder(network, transform=resize).by_tokens()
    assert encoder.transform is None
    assert encoder.recipe()["transform"] == "normalise"
