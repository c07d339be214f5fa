from __future__ import annotations

import pytest
import torch

from stflow.bench.methods._parts._views import fusion_loss


def test_the_loss_weighs_measurement_and_fused_prediction():
    measured, fused = torch.zeros(2, 3), torch.full((2, 3), 2.0)
    single = torch.full((2, 3), 1.0)
    loss = fusion_loss(torch.stack([single, single, measured, fused]), measured)
    assert loss.item() == pytest.approx(4 + 2 * (0.7 * 1 + 0.3 * 1) + 0.3 * 4)


def test_encoders_do_not_pull_the_fused_prediction():
    predicted = torch.zeros(4, 2, 3, requires_grad=True)
    fusion_loss(predicted + torch.arange(4.0)[:, None, None], torch.full((2, 3), 3.0)).backward()
    assert predicted.grad is not None
    assert not predicted.grad[3].any()
    assert predicted.grad[:3].all()
