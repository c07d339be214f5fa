"""Manifests on disk, and slides that take no time."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from spatialdata import SpatialData

import stflow as stf
from stflow._sdata import annotate, circles
from stflow.cohort import _work


@pytest.fixture(scope="session")
def model_folder(model: stf.STFlow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    model.save(folder)
    return folder


@pytest.fixture(scope="session")
def forks() -> BaseContext:
    """Processes of one thread, forked from one that has imported all, which takes ten seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cohorts", "distributed.nanny", "squidpy"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        forkserver.ensure_running()
    return context


@pytest.fixture
def files(tmp_path: Path) -> pd.DataFrame:
    """A manifest of three slides, whose files hold nothing that could be read."""
    paths = [tmp_path / f"scan{number}.svs" for number in range(3)]
    for path in paths:
        path.write_bytes(b"no slide")
    return pd.DataFrame({"slide": ["a", "b", "c"], "path": list(map(str, paths))})


def predicted() -> SpatialData:
    """What a slide of four spots ends as."""
    places = np.argwhere(np.ones((2, 2))) * 100.0
    names = np.array([f"spot_{i}" for i in range(4)], dtype=object)
    table = AnnData(obs=pd.DataFrame(index=names), obsm={"spatial": places})
    table.obs["stflow_novelty"] = [0.5, 0.5, 0.5, 1.5]
    table.obs["artifacts"] = [0.0, 0.2, 0.0, 0.0]
    return SpatialData(
        shapes={"spots": circles(places, 20.0, names)}, tables={"table": annotate(table)}
    )


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of slides that were worked on, without reading or writing any."""
    found: list[str] = []

    def predict(row: Any, plan: Any, stage: Callable, **_: Any) -> SpatialData:
        found.append(row.slide)
        for name in ("read", "embed", "predict"):
            with stage(name):
                pass
        return predicted()

    def write(self: SpatialData, place: Path) -> None:
        place.mkdir()
        (place / "zarr.json").write_text(json.dumps({"attributes": dict(self.attrs)}))

    monkeypatch.setattr(_work, "predict_slide", predict)
    monkeypatch.setattr(SpatialData, "write", write)
    monkeypatch.setattr(_work.gc, "collect", lambda: 0)
    return found
