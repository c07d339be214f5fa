"""A small encoder with maps, and a piece of real tissue, for embeddings by area."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from spatialdata import SpatialData
from torch import nn

import stflow as stf
from stflow.encoders._encoder import Encoder
from stflow.encoders._pooling import StagePool
from stflow.encoders._stages import Stage


@pytest.fixture(scope="session")
def two_stages() -> Encoder:
    """A network of two small stages, of 20 numbers a vector."""
    torch.manual_seed(0)
    first = Stage(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
    pool = StagePool(nn.ModuleList([first, Stage(nn.Conv2d(6, 4, 3, padding=1))]))
    return Encoder("small", pool.eval().requires_grad_(False), "0" * 64, pooling="stages")


@pytest.fixture
def middle_of_c2(data_dir: Path) -> Callable[[int], SpatialData]:
    """Give section C2 with the spots in the middle alone, so many pixels to each side."""

    def take(reach_px: int) -> SpatialData:
        sdata = stf.datasets.her2st("C2")
        table = sdata["table"]
        at = np.asarray(table.obsm["spatial"])
        near = (np.abs(at - np.median(at, axis=0)) < reach_px).all(axis=1)
        sdata["table"] = table[near].copy()
        return sdata

    return take
