"""How far networks look: known answers of convolutions, and networks that see everything."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from stflow.encoders import get_encoder, halo_px, probe
from stflow.encoders._cards import CARDS
from stflow.encoders._pooling import pool_stages
from stflow.encoders._stages import Stage


def convolution(kernel: int, stride: int = 1) -> nn.Conv2d:
    torch.manual_seed(kernel)
    return nn.Conv2d(3, 3, kernel, stride=stride, padding=kernel // 2)


@pytest.mark.parametrize(("kernel", "halo"), [(1, 0), (3, 1), (7, 3)])
def test_a_convolution_looks_half_its_kernel_far(kernel, halo):
    (reach,) = probe([Stage(convolution(kernel))])
    assert (reach.strides, reach.halo) == ((1,), halo)


def test_halos_are_multiples_of_the_stride_and_add_up_in_pixels():
    reaches = probe([Stage(convolution(3, 2), convolution(3)), Stage(convolution(5, 2))])
    assert [(reach.strides, reach.halo) for reach in reaches] == [((2,), 4), ((2,), 2)]
    assert halo_px(reaches) == 4 + 2 * 2


class Squeeze(nn.Module):
    """Scales channels by their mean over space."""

    def forward(self, features):
        return features * features.abs().mean((2, 3), keepdim=True)


def test_a_network_that_sees_all_of_its_input_has_no_reach():
    assert probe([Stage(convolution(3)), Stage(Squeeze())]) is None
    assert probe([Stage(convolution(3), nn.InstanceNorm2d(3))]) is None


def test_a_network_of_one_size_has_no_reach():
    assert probe([Stage(nn.AdaptiveAvgPool2d(7))]) is None
    assert probe([Stage(nn.Linear(3, 3))]) is None
    assert probe([]) is None


def test_the_default_encoder_keeps_what_its_card_says():
    reaches = probe(get_encoder("efficientnet_lite0").stages)
    assert halo_px(reaches) == CARDS["efficientnet_lite0"].halo_px == 436
    assert [reach.strides for reach in reaches] == [(4,), (2,), (2,), (1,), (2,), (1,)]


@pytest.mark.parametrize("name", ["resnet50", "ciga"])
def test_residual_networks_reach_as_far_as_their_cards_say(name):
    card = CARDS[name]
    torch.manual_seed(0)
    model = timm.create_model(card.architecture, num_classes=0, zero_init_last=False).eval()
    assert halo_px(probe(pool_stages(model).stages)) == card.halo_px


@pytest.mark.parametrize("how", [{"dihedral": True}, {"pooling": "final"}])
def test_what_needs_whole_tiles_shows_no_stages(how):
    assert get_encoder("efficientnet_lite0", **how).stages == []
    assert len(get_encoder("efficientnet_lite0").stages) == 6
