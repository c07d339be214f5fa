"""What an epoch holds, and when training stops: early stopping is counted in steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import square, tensor_slide

from stflow._schedule import Schedule
from stflow.flow import make_prior
from stflow.model._config import Config
from stflow.model.denoiser import Denoiser
from stflow.model.training import _loop
from stflow.model.training._crops import TensorSlide, draws_in_epoch, steps_in_epoch

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
    ("sizes", "n_draws"),
    [
        ([180] * 4, 32),  # fewer than a round over so few spots: 8
        ([5000], 32),  # 20
        ([5000] * 3, 59),
        ([5000] * 4, 64),  # 78
        ([500_000], 64),  # 1953
        ([180] * 20, 40),
        ([5000, 180], 32),
    ],
)
def test_an_epoch_is_a_round_over_the_spots(sizes: list[int], n_draws: int) -> None:
    slides = [SimpleNamespace(n_spots=n) for n in sizes]
    assert draws_in_epoch(slides) == n_draws
    assert [steps_in_epoch(slides, batch_size) for batch_size in (1, 4)] == [
        n_draws,
        -(-n_draws // 4),
    ]


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=30), st.integers(1, 40))
def test_no_round_is_short_of_spots(sizes: list[int], batch_size: int) -> None:
    """A crop holds half of the spots that it might, on average; an epoch is of 32 to 64."""
    slides = [SimpleNamespace(n_spots=n) for n in sizes]
    n_draws, per_draw = draws_in_epoch(slides), np.minimum(sizes, 512).mean() / 2
    assert 32 <= n_draws <= 64
    assert n_draws == 64 or n_draws >= 2 * len(sizes)
    assert n_draws == 64 or n_draws * per_draw >= sum(sizes) - per_draw / 2 - 1e-6
    assert n_draws == 32 or n_draws * per_draw <= sum(sizes) + per_draw / 2 + 1e-6
    assert 0 <= steps_in_epoch(slides, batch_size) * batch_size - n_draws < batch_size


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
    history = train([make_slide(3, i) for i in range(25)], Schedule(99, 100, NO_LR, 1))
    assert history["step"].tolist() == [50, 100, 150]
