"""Every architecture of the registry, on the meta device: no weights, no memory, known sizes."""

from __future__ import annotations

import pytest
import timm
import torch

from stflow.encoders._card import Card
from stflow.encoders._cards import ALL, CARDS
from stflow.encoders._registry import BUILDERS, assemble
from stflow.encoders.families._local import blank_ciga, blank_ctranspath
from stflow.encoders.families._transformers import blank_transformer
from stflow.encoders.families._vit import blank_vit

BLANK = {
    "package": lambda card: timm.create_model(card.architecture, num_classes=0),
    "timm": lambda card: timm.create_model(card.architecture, num_classes=0),
    "vit": blank_vit,
    "transformers": blank_transformer,
    "ciga": blank_ciga,
    "ctranspath": blank_ctranspath,
}

# Millions of parameters, as their authors or their users report them.
MILLIONS = {
    "resnet50": 23.5,
    "uni": 303.4,
    "uni2_h": 681.4,
    "gigapath": 1135.0,
    "virchow": 631.2,
    "virchow2": 631.2,
    "h_optimus_0": 1134.8,
    "h_optimus_1": 1134.8,
    "h0_mini": 85.7,
    "phikon": 85.8,
    "phikon_v2": 303.4,
    "kaiko_s8": 21.7,
    "kaiko_l14": 303.2,
    "hibou_b": 85.7,
    "hibou_l": 303.7,
    "midnight": 1136.5,
    "ctranspath": 27.5,
    "ciga": 11.2,
}


def blank(card: Card) -> torch.nn.Module:
    with torch.device("meta"):
        return BLANK[card.family](card).eval()


def width_of(card: Card, network: torch.nn.Module, pooling: str, side: int) -> int:
    tiles = torch.empty(2, 3, side, side, device="meta")
    vectors = assemble(card, network, pooling=pooling)(tiles)
    assert vectors.is_meta
    assert len(vectors) == 2
    return vectors.shape[1]


def of_families(*families: str) -> list:
    return [pytest.param(card, id=card.name) for card in ALL if card.family in families]


def test_all_but_the_one_with_its_own_package_can_be_built():
    assert {card.family for card in ALL} - set(BLANK) == {"conch"}
    assert set(BUILDERS) == set(BLANK) - {"package", "timm"} | {"conch"}


@pytest.mark.parametrize(
    "card", [card for card in ALL if card.family in BLANK], ids=lambda card: card.name
)
def test_every_architecture_gives_the_width_that_its_card_says(card):
    network = blank(card)
    assert width_of(card, network, "final", card.tile_px) == card.width
    if card.stages_width:
        assert width_of(card, network, "stages", card.tile_px) == card.stages_width
    if card.any_multiple > 1:
        assert width_of(card, network, "final", card.tile_px + card.any_multiple) == card.width
    if card.name in MILLIONS:
        size = sum(tensor.numel() for tensor in network.parameters())
        assert size / 1e6 == pytest.approx(MILLIONS[card.name], abs=0.06)


@pytest.mark.parametrize(
    "card", [card for card in ALL if card.family == "vit"], ids=lambda card: card.name
)
def test_the_tokens_before_the_patches_are_those_that_the_card_counts(card):
    assert blank(card).num_prefix_tokens == card.leading


def test_a_wrong_card_does_not_pass():
    with torch.device("meta"):
        network = blank_vit(CARDS["kaiko_s16"])
    with pytest.raises(ValueError, match="gives vectors of 384 values where the registry says 768"):
        width_of(CARDS["kaiko_b16"], network, "final", 224)


def test_names_are_unique_and_cards_say_what_they_must():
    assert len(CARDS) == len(ALL)
    for card in ALL:
        assert card.url.startswith("https://")
        assert len(card.normalisation[0]) == len(card.normalisation[1]) == 3
        assert card.gated <= ("/" in card.source)
        assert card.is_open == (card.licence in ("open", "MIT", "Apache-2.0"))


def test_building_leaves_the_global_random_state():
    before = torch.get_rng_state()
    with torch.device("cpu"):
        blank_ciga(CARDS["ciga"])
    assert torch.equal(before, torch.get_rng_state())
