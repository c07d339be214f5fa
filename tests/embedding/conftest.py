"""A picture that the walk over the tissue is tried on, and what the processor can do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def waves() -> Callable[[int], np.ndarray]:
    """Make colours that change slowly, and noise: uint8, shape (3, side, side)."""

    def make(side: int) -> np.ndarray:
        y, x = np.mgrid[:side, :side]
        colours = np.stack([np.sin(x / 17), np.cos(y / 13), np.sin((x + y) / 19)]) * 70 + 128
        noise = np.random.default_rng(0).normal(0, 20, colours.shape)
        return np.clip(colours + noise, 0, 255).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def bfloat16() -> None:
    """Skip where torch convolves no bfloat16, as on processors without AVX-512."""
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return
    ones = torch.ones(1, 8, 8, 8, dtype=torch.bfloat16)
    weight = torch.ones(8, 8, 3, 3, dtype=torch.bfloat16)
    try:
        torch.ops.mkldnn._convolution_pointwise(
            ones, weight, None, [1, 1], [1, 1], [1, 1], 1, "none", [], ""
        )
    except RuntimeError as error:
        pytest.skip(f"this processor convolves no bfloat16: {error}")
