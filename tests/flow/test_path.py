from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stflow.flow import interpolate, sample


def test_path_by_hand() -> None:
    y0, y1 = torch.tensor([[0.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    assert torch.equal(interpolate(y0, y1, 0.25), torch.tensor([[1.0, 3.0]]))
    assert torch.equal(interpolate(y0, y1, 0.0), y0)
    assert torch.equal(interpolate(y0, y1, 1.0), y1)


def test_path_takes_a_time_for_each_spot() -> None:
    y0, y1 = torch.zeros(2, 1), torch.full((2, 1), 10.0)
    at = interpolate(y0, y1, torch.tensor([[0.1], [0.7]]))
    assert torch.allclose(at, torch.tensor([[1.0], [7.0]]))


def test_sampler_by_hand() -> None:
    """Three evaluations of a denoiser that answers 2y + 3t + 1, from y = 1, on paper.

    s=0: y_hat = 3; y = 1 + (3 - 1) / 1 * 1/3 = 5/3.
    s=1: y_hat = 10/3 + 1 + 1 = 16/3; y = 5/3 + (16/3 - 5/3) / (2/3) * 1/3 = 7/2.
    s=2: y_hat = 7 + 2 + 1 = 10.
    """
    seen = []

    def denoise(y: torch.Tensor, t: float) -> torch.Tensor:
        seen.append((y.item(), t))
        return 2 * y + 3 * t + 1

    result = sample(denoise, torch.ones(1, 1), 3)
    assert result.item() == pytest.approx(10)
    assert [t for _, t in seen] == pytest.approx([0, 1 / 3, 2 / 3])
    assert [y for y, _ in seen] == pytest.approx([1, 5 / 3, 7 / 2])


@given(n_steps=st.integers(1, 12))
def test_n_steps_is_the_number_of_evaluations(n_steps: int) -> None:
    times = []

    def denoise(y: torch.Tensor, t: float) -> torch.Tensor:
        times.append(t)
        return y

    sample(denoise, torch.zeros(1, 1), n_steps)
    assert times == pytest.approx([s / n_steps for s in range(n_steps)])


@given(n_steps=st.integers(1, 12), end=st.floats(-5, 5))
def test_a_perfect_denoiser_is_followed_along_the_straight_path(n_steps: int, end: float) -> None:
    y0, y1 = torch.full((3, 2), 1.0, dtype=torch.float64), torch.full((3, 2), end).double()
    states = []

    def denoise(y: torch.Tensor, t: float) -> torch.Tensor:
        states.append((y.clone(), t))
        return y1

    assert torch.equal(sample(denoise, y0, n_steps), y1)
    assert (y0 == 1).all()
    for y, t in states:
        assert torch.allclose(y, interpolate(y0, y1, t))
