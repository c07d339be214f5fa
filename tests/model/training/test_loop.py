"""When training stops: early stopping is counted in steps, whatever an epoch holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support import square, tensor_slide

from stflow._schedule import Schedule
from stflow.flow import make_prior
from stflow.model._config import Config
from stflow.model.denoiser import Denoiser
from stflow.model.training import _loop
from stflow.model.training._crops import TensorSlide

CONFIG = Config(hidden=16, n_layers=1, n_heads=2)
NO_LR = 1e-20


def make_slide(side: int, seed: int = 0) -> TensorSlide:
    generator, n = torch.Generator().manual_seed(seed), side**2
    features, counts = (torch.rand(n, 2, generator=generator) for _ in range(2))
    return tensor_slide(square(side), features, (5 * counts).round().log1p())


def train(slides: list[TensorSlide], schedule: Schedule, n_held_out: int = 1) -> Any:
    """History of a training, judged by slides of its own."""
    torch.manual_seed(0)
    history, _, _ = _loop.train(
        Denoiser(2, 2, CONFIG),
        slides,
        [make_slide(6, 99)] * n_held_out,
        make_prior("zero", n_genes=2),
        schedule,
        seed=0,
        device=torch.device("cpu"),
        show_progress_bar=False,
        label="fit",
        trainer_kwargs={},
    )
    return history


@pytest.mark.parametrize(
    ("batch_size", "in_an_epoch", "n_epochs"), [(1, 32, 3), (4, 8, 9), (3, 11, 7), (32, 1, 65)]
)
def test_early_stopping_counts_steps(batch_size: int, in_an_epoch: int, n_epochs: int) -> None:
    """Nothing is learned, so the first epoch is the best; it stops in that which ends the 64."""
    history = train([make_slide(5)], Schedule(99, 64, NO_LR, batch_size))
    assert history["val_loss"].nunique() == 1
    assert history["step"].tolist() == [in_an_epoch * (i + 1) for i in range(n_epochs)]
    assert 64 <= history["step"].iloc[-1] - in_an_epoch < 64 + in_an_epoch


def test_without_held_out_spots_it_goes_on_to_the_end() -> None:
    """Negative control."""
    history = train([make_slide(5)], Schedule(12, 8, NO_LR, 4), n_held_out=0)
    assert history["epoch"].tolist() == list(range(12))
    assert "val_loss" not in history


def test_more_slides_make_a_longer_epoch_and_fewer_of_them() -> None:
    history = train([make_slide(3, i) for i in range(40)], Schedule(99, 100, NO_LR, 1))
    assert history["step"].tolist() == [80, 160, 240]
