"""Fixtures shared by all tests: real tissue, synthetic tissue, an encoder without weights."""

from __future__ import annotations

import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from spatialdata import SpatialData
from spatialdata.models import TableModel
from support import LOOK, SHAPE, SMALL, make_tissue

import stflow as stf

# Processes that tests start keep the byte code of what they import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("stflow", deadline=None, derandomize=True)
settings.load_profile("stflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that no worker is left alone with one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later search for cycles, which takes half a second."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real tissue; tests that need it skip where it is absent."""
    root = os.environ.get("STFLOW_DATA_DIR")
    if not root or not Path(root, "her2st").is_dir():
        pytest.skip("real tissue: set STFLOW_DATA_DIR to a folder that holds her2st/")
    return Path(root)


@pytest.fixture(scope="session")
def embedded(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], SpatialData]:
    """Take a section of her2st, embedded; whichever process comes first encodes it."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def take(section: str) -> SpatialData:
        sdata = stf.datasets.her2st(section)
        vectors = root / "vectors"
        with FileLock(f"{vectors}.lock"):
            stf.pp.embed(sdata, cache=vectors, **LOOK)
        stf.pp.neighbors(sdata)
        return sdata

    return take


@pytest.fixture
def colour_encoder():
    """A callable encoder with known answers: mean and sd of each channel, width 6."""

    def encode(tiles: torch.Tensor) -> torch.Tensor:
        flat = tiles.flatten(2)
        return torch.cat([flat.mean(-1), flat.std(-1)], dim=1)

    return encode


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """Python's own handler, which a process started in the background has not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng() -> np.random.Generator:
    """A local random generator."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def _six() -> dict[str, SpatialData]:
    return make_tissue(6, n_spots=64)


@pytest.fixture(scope="session")
def _tissue(_six: dict[str, SpatialData]) -> dict[str, SpatialData]:
    return {name: _six[name] for name in ("S1", "S2", "S3")}


@pytest.fixture
def tissue(_tissue: dict[str, SpatialData]) -> dict[str, SpatialData]:
    """Three small synthetic slides S1, S2, S3, ready to fit; a copy of its own for each test."""
    return {name: deepcopy(sdata) for name, sdata in _tissue.items()}


@pytest.fixture(scope="session")
def others(_six: dict[str, SpatialData]) -> dict[str, SpatialData]:
    return {name: _six[name] for name in ("S4", "S5", "S6")}


@pytest.fixture(scope="session")
def model(others: dict[str, SpatialData]) -> stf.STFlow:
    """A model fitted in passing to S4, S5 and S6 of the same law, good for plumbing only."""
    genes = stf.pp.select_genes(others, n_top_genes=8)
    return stf.tl.fit(others, genes=genes, **{**SMALL, "config": {**SHAPE, "n_flows": 2}})


@pytest.fixture
def two_regions(tissue: dict[str, SpatialData]) -> SpatialData:
    """One SpatialData with one table over two slides, ``a`` and ``b``, each with an image."""
    elements = {"images": {}, "shapes": {}}
    tables = []
    for name, sdata in (("a", tissue["S1"]), ("b", tissue["S2"])):
        elements["images"][f"he_{name}"] = sdata["he"]
        spots = sdata["spots"].copy()
        spots.index = [f"{name}_{spot}" for spot in spots.index]
        elements["shapes"][name] = spots
        table = sdata["table"].copy()
        table.obs_names = [f"{name}_{spot}" for spot in table.obs_names]
        table.obs["spot_id"] = [f"{name}_{spot}" for spot in table.obs["spot_id"]]
        table.obs["region"] = name
        tables.append(table)
    table = ad.concat(tables[::-1], merge="same")
    table.obs["region"] = table.obs["region"].astype("category")
    table = TableModel.parse(table, region=["a", "b"], region_key="region", instance_key="spot_id")
    table.uns["X_embedding"] = dict(tables[0].uns["X_embedding"])
    sdata = SpatialData(**elements, tables={"table": table})
    sdata.attrs["slide_properties"] = dict(tissue["S1"].attrs["slide_properties"])
    stf.pp.neighbors(sdata, image_key={"a": "he_a", "b": "he_b"})
    return sdata
