"""A picture that the walk over the tissue is tried on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def waves() -> Callable[[int], np.ndarray]:
    """Make colours that change slowly, and noise: uint8, shape (3, side, side)."""

    def make(side: int) -> np.ndarray:
        y, x = np.mgrid[:side, :side]
        colours = np.stack([np.sin(x / 17), np.cos(y / 13), np.sin((x + y) / 19)]) * 70 + 128
        noise = np.random.default_rng(0).normal(0, 20, colours.shape)
        return np.clip(colours + noise, 0, 255).astype(np.uint8)

    return make
