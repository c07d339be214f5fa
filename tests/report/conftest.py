"""A slide with a real prediction and scores of gene sets."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from spatialdata import SpatialData

import stflow as stf
from stflow._report import _pictures


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
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave pictures blank, on pages that are about words."""

    def blank(_: Any, __: Any, ___: int, alt: str, **____: Any) -> _pictures.Picture:
        return _pictures.Picture("data:image/png;base64,", 1, 1, alt)

    monkeypatch.setattr(_pictures, "_picture", blank)


@pytest.fixture
def one(model: stf.STFlow, undrawn: None) -> dict[str, str]:
    """Name one gene, and draw nothing, on pages that are about something else."""
    return {"genes": model.genes[0]}
