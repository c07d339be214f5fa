"""Fixtures shared by all tests: real tissue, synthetic tissue, an encoder without weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real tissue; tests that need it skip where it is absent."""
    root = os.environ.get("STFLOW_DATA_DIR")
    if not root or not Path(root, "her2st").is_dir():
        pytest.skip("real tissue: set STFLOW_DATA_DIR to a folder that holds her2st/")
    return Path(root)


@pytest.fixture
def colour_encoder():
    """A callable encoder with known answers: mean and sd of each channel, width 6."""

    def encode(tiles: torch.Tensor) -> torch.Tensor:
        flat = tiles.flatten(2)
        return torch.cat([flat.mean(-1), flat.std(-1)], dim=1)

    return encode


@pytest.fixture
def rng() -> np.random.Generator:
    """A local random generator."""
    return np.random.default_rng(0)
