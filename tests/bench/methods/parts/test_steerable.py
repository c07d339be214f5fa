from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stflow._square import N_SYMMETRIES, compositions, turn
from stflow.bench.methods._parts._steerable import FieldNorm, Residual, SteerableConv


def act(fields: Tensor, g: int) -> Tensor:
    """Apply a symmetry to fields (B, 8 * n, H, W): turn the plane, permute the channels."""
    permuted = fields.unflatten(1, (-1, N_SYMMETRIES))[:, :, compositions()[g]]
    return turn(permuted, g).flatten(1, 2)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def fill(module: torch.nn.Module, generator: torch.Generator) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return module.eval()


@pytest.mark.parametrize("g", range(N_SYMMETRIES))
def test_convolutions_commute_with_the_symmetries(generator, g) -> None:
    lift = fill(SteerableConv(3, 2, lift=True), generator)
    body = fill(torch.nn.Sequential(SteerableConv(2, 2), FieldNorm(2), Residual(2, 0.1)), generator)
    plain = fill(torch.nn.Conv2d(16, 16, 3, padding=1), generator)
    x = torch.randn(2, 3, 5, 5, generator=generator)
    with torch.inference_mode():
        fields = lift(x)
        assert torch.allclose(lift(turn(x, g)), act(fields, g), atol=1e-5)
        assert torch.allclose(body(act(fields, g)), act(body(fields), g), atol=1e-4)
        same = torch.allclose(plain(act(fields, g)), act(plain(fields), g), atol=1e-1)
    assert same == (g == 0)


def test_the_kernel_of_the_first_symmetry_is_the_free_one(generator) -> None:
    conv = fill(SteerableConv(3, 2, lift=True), generator)
    kernel = conv.kernel().unflatten(0, (2, N_SYMMETRIES))
    assert kernel.shape == (2, 8, 3, 3, 3)
    assert torch.equal(kernel[:, 0], conv.weight[:, :, 0])
    assert torch.equal(kernel[:, 4], conv.weight[:, :, 0].flip(-1))
