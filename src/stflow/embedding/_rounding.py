"""Weights in bfloat16 that act like those they were rounded from. Torch alone."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def to_bfloat16(model: nn.Module) -> nn.Module:
    """Copy a network into bfloat16; depthwise filters keep the sums of their weights.

    What the few weights of such a filter lose by rounding does not average out, and on smooth
    tissue its sum is what counts.

    Parameters
    ----------
    model
        In evaluation mode; stays as it is.

    Returns
    -------
    The copy.
    """
    low = copy.deepcopy(model).bfloat16()
    for name, part in model.named_modules():
        weight = getattr(part, "weight", None)
        if getattr(part, "groups", 1) > 1 and isinstance(weight, Tensor) and weight.shape[1] == 1:
            rounded = round_keeping_sums(weight.detach()).to(memory_format=torch.channels_last)
            low.get_submodule(name).weight = nn.Parameter(rounded, requires_grad=False)
    return low


def round_keeping_sums(weight: Tensor) -> Tensor:
    """Round filters, shape (n, ...), to bfloat16 so that each keeps the sum of its weights.

    The largest weight is rounded first, and what it loses is given to the next.
    """
    flat = weight.flatten(1)
    rounded = torch.empty_like(flat, dtype=torch.bfloat16)
    carry = torch.zeros_like(flat[:, :1])
    for at in flat.abs().argsort(1, descending=True).split(1, dim=1):
        wanted = flat.gather(1, at) + carry
        value = wanted.bfloat16()
        rounded.scatter_(1, at, value)
        carry = wanted - value
    return rounded.reshape(weight.shape)
