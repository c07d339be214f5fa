"""A slide with a real prediction and scores of gene sets."""

from __future__ import annotations

from copy import deepcopy

import pytest
from spatialdata import SpatialData

import stflow as stf


@pytest.fixture(scope="session")
def _predicted(_tissue: dict[str, SpatialData], model: stf.STFlow) -> SpatialData:
    sdata = deepcopy(_tissue["S1"])
    stf.tl.predict(sdata, model, n_samples=100, keep_samples=True, show_progress_bar=False)
    sets = {"<script>alert(1)</script>": model.genes[:3], "pair": [model.genes[4], "absent"]}
    with pytest.warns(UserWarning, match="not in the panel"):
        stf.tl.score_genes(sdata, sets)
    return sdata


@pytest.fixture
def slide(_predicted: SpatialData) -> SpatialData:
    """A predicted slide of 64 spots with counts and two sets; a copy of its own for each test."""
    return deepcopy(_predicted)


@pytest.fixture
def one(model: stf.STFlow) -> dict[str, str]:
    """Draw one gene, on pages that are about something else."""
    return {"genes": model.genes[0]}
