from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stflow.bench.methods import TRIPLEX
from stflow.bench.methods._parts._views import fusion_loss
from stflow.slide._slide import Slide


class Small(TRIPLEX):
    width = 32


def correlation(slides: list[Slide], test: Slide) -> float:
    """Mean over genes of the correlation on a slide, after a fit to others."""
    method = Small(protocol="hest", max_epochs=2, device="cpu").fit(slides)
    predicted = method.predict(test)
    pairs = zip(predicted.T, np.asarray(test.expression).T, strict=True)
    return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


@pytest.mark.slow
def test_learns_what_tiles_say_and_nothing_from_shuffled_expression(arrays, rng):
    assert correlation(arrays[:2], arrays[2]) > 0.15
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays[:2]]
    assert abs(correlation(shuffled, arrays[2])) < 0.15


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
