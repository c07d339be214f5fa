"""A small slide with a made-up prediction, drawn without a screen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from spatialdata import SpatialData

from stflow.datasets import synthetic

GENES = ["GENE002", "GENE001"]


@pytest.fixture(autouse=True)
def no_screen() -> Iterator[None]:
    """Draw with Agg, and leave no figure open."""
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def slide() -> SpatialData:
    """A slide of 36 spots with a noisy prediction of two genes, in log1p counts."""
    sdata = synthetic(1, n_spots=36, n_genes=4, image_mpp=10.0)["S1"]
    table = sdata.tables["table"]
    truth = np.log1p(table.to_df()[GENES])
    noise = np.random.default_rng(0).normal(0, 0.5, truth.shape)
    table.obsm["stflow"] = pd.DataFrame(truth + noise, index=table.obs_names, columns=GENES)
    table.uns["stflow"] = {"units": "counts", "min_counts": 0.0}
    return sdata
