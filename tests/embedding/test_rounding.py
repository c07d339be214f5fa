"""Filters rounded to bfloat16 keep their sums; plain rounding does not."""

from __future__ import annotations

import torch
from torch import nn

from stflow.embedding._rounding import round_keeping_sums, to_bfloat16


def filters() -> torch.Tensor:
    return torch.randn(40, 1, 3, 3, generator=torch.Generator().manual_seed(0)) * 5


def test_sums_are_kept_and_no_weight_moves_far():
    weight = filters()
    rounded = round_keeping_sums(weight)
    assert rounded.dtype == torch.bfloat16
    assert rounded.shape == weight.shape
    error = (rounded.double() - weight).sum((1, 2, 3)).abs().mean()
    plain = (weight.bfloat16().double() - weight).sum((1, 2, 3)).abs().mean()
    assert error < 0.2 * plain
    assert (rounded.float() - weight).abs().max() < 0.07
    exact = torch.tensor([[[[1.0, -2.0], [0.5, 3.0]]]])
    assert torch.equal(round_keeping_sums(exact).float(), exact)


def test_only_depthwise_filters_are_rounded_so():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3), nn.Linear(4, 4))
    before = model[0].weight.clone()
    low = to_bfloat16(model)
    assert torch.equal(low[0].weight, round_keeping_sums(model[0].weight))
    assert torch.equal(low[1].weight, model[1].weight.bfloat16())
    assert {p.dtype for p in low.parameters()} == {torch.bfloat16}
    assert torch.equal(model[0].weight, before)
    assert model[0].weight.dtype == torch.float32
