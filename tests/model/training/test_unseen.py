from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stflow.model.training._unseen import blend_weight


@given(weight=st.floats(0, 1))
def test_finds_the_weight_that_made_the_data(weight: float) -> None:
    generator = torch.Generator().manual_seed(0)
    flow, regression = (torch.randn(20, 3, generator=generator) for _ in range(2))
    mixed = torch.lerp(regression, flow, weight)
    assert blend_weight(flow, regression, mixed) == pytest.approx(weight, abs=1e-4)


def test_stays_between_the_two() -> None:
    flow, regression = torch.full((4, 1), 2.0), torch.ones(4, 1)
    assert blend_weight(flow, regression, torch.full((4, 1), 9.0)) == 1
    assert blend_weight(flow, regression, torch.full((4, 1), -9.0)) == 0


def test_two_that_agree_are_blended_evenly() -> None:
    same = torch.ones(4, 2)
    assert blend_weight(same, same, torch.zeros(4, 2)) == 0.5
