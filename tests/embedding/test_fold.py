"""Folded networks against the networks as they were."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from stflow.embedding._fold import FusedConv2d, fold, has_folded
from stflow.encoders._pooling import pool_stages


def ready(model: nn.Module) -> nn.Module:
    """Give the norms statistics of their own, so that folding has something to fold."""
    generator = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            shape = part.running_mean.shape
            part.running_mean.copy_(torch.rand(shape, generator=generator) - 0.5)
            part.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
    return model.eval().requires_grad_(False)


def timm_model(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ready(timm.create_model(name, num_classes=0))


def difference(first, second, tiles) -> float:
    with torch.inference_mode():
        expected, got = first(tiles), second(tiles)
    return float((expected - got).abs().max() / expected.abs().max())


def count(model, kind) -> int:
    return sum(isinstance(part, kind) for part in model.modules())


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("stages", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050"])
def test_the_same_vectors_to_rounding(name, stages, fuse):
    model = timm_model(name)
    model = pool_stages(model).eval() if stages else model
    tiles = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    folded = fold(model, fuse=fuse)
    assert difference(model, folded, tiles) < 1e-5
    assert has_folded(folded)
    assert not has_folded(model)
    assert count(folded, nn.BatchNorm2d) == 0 < count(model, nn.BatchNorm2d)
    assert (count(folded, FusedConv2d) > 0) == fuse


def test_the_network_stays_as_it_was():
    model = timm_model("resnet18")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold(model, fuse=True)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        folded.conv1.weight.zero_()
    assert torch.equal(model.conv1.weight, before["conv1.weight"])


class Branching(nn.Module):
    """A flow that depends on values cannot be traced; the part inside can."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, tiles):
        features = self.part(tiles)
        return features.mean((-2, -1)) if tiles.mean() > 0 else features.amax((-2, -1))


def test_what_cannot_be_traced_is_folded_in_parts():
    model = ready(Branching())
    folded = fold(model, fuse=True)
    assert has_folded(folded)
    assert count(folded, nn.BatchNorm2d) == 0
    for sign in (1, -1):
        tiles = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2)) + sign
        assert difference(model, folded, tiles) < 1e-5


class TwoUses(nn.Module):
    """The convolution's own output is used beside the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, tiles):
        features = self.conv(tiles)
        return (self.act(self.norm(features)) + features).mean((-2, -1))


def test_a_convolution_with_two_uses_is_left_alone():
    model = ready(TwoUses())
    folded = fold(model, fuse=True)
    assert count(folded, nn.BatchNorm2d) == 1
    assert difference(model, folded, torch.rand(2, 3, 9, 9)) < 1e-6


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.3, 0.2), nn.SiLU(), None])
@pytest.mark.parametrize("kwargs", [{}, {"padding": 1, "stride": 2}, {"groups": 3, "dilation": 2}])
def test_fused_convolutions(act, kwargs):
    parts = [nn.Conv2d(3, 6, 3, **kwargs), nn.BatchNorm2d(6), *([act] if act else [])]
    model = ready(nn.Sequential(*parts))
    folded = fold(model, fuse=True)
    assert count(folded, FusedConv2d) == 1
    assert difference(model, folded, torch.randn(2, 3, 12, 11) * 3) < 1e-5
    called = sum(node.op == "call_module" for node in folded.graph.nodes)
    assert called == (2 if isinstance(act, nn.SiLU) else 1)


@pytest.mark.parametrize("kwargs", [{"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}])
def test_other_paddings_are_folded_but_not_fused(kwargs):
    model = ready(nn.Sequential(nn.Conv2d(3, 6, 3, **kwargs), nn.BatchNorm2d(6), nn.ReLU()))
    folded = fold(model, fuse=True)
    assert count(folded, FusedConv2d) == 0 == count(folded, nn.BatchNorm2d)
    assert difference(model, folded, torch.randn(2, 3, 12, 11)) < 1e-5


def test_no_norms_nothing_to_fold():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    folded = fold(model, fuse=True)
    assert not has_folded(folded)
    assert folded is not model
