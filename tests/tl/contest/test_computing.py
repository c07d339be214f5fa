from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dask
import dask.array as da
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from support import CV_FAST, SHAPE

import stflow as stf
from stflow.tl._contest import _computing

FIT = {"config": SHAPE, "max_epochs": 1}
FOLD = SimpleNamespace(split=SimpleNamespace(test=[]))
HOW = {**CV_FAST, "methods": ["stflow", "ridge"], "fit_kwargs": FIT}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    how = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        yield client


@pytest.mark.slow
def test_workers_find_what_one_process_finds(tissue, client, tmp_path: Path, monkeypatch) -> None:
    serial = stf.tl.cross_validate(tissue, **HOW)
    there = stf.tl.cross_validate(tissue, client=client, resume=tmp_path, **HOW)
    pd.testing.assert_frame_equal(serial, there)
    assert serial.attrs["comparison"] == there.attrs["comparison"]
    monkeypatch.setattr(_computing, "_compute", None)
    again = stf.tl.cross_validate(tissue, resume=tmp_path, **HOW)  # all is found, nothing computed
    pd.testing.assert_frame_equal(serial, again)


@pytest.mark.slow
def test_embeddings_that_dask_holds_are_read_by_the_worker_itself(tissue, client) -> None:
    """Handed to the scheduler, they would wait for the only worker, which works."""
    how = {**HOW, "methods": ["ridge", "mean"], "fit_kwargs": None}
    serial = stf.tl.cross_validate(tissue, **how)
    for sdata in tissue.values():
        table = sdata["table"]
        table.obsm["X_embedding"] = da.from_array(table.obsm["X_embedding"], chunks=(100, -1))
    pd.testing.assert_frame_equal(serial, stf.tl.cross_validate(tissue, client=client, **how))
    scheduler = client.submit(_computing._compute, Told(), FOLD, "", pure=False).result()
    assert scheduler == "threads"


class Told:
    """A contest that tells by what dask computes."""

    def read(self, *_: object) -> None: ...

    def run(self, *_: object) -> object:
        return dask.config.get("scheduler", None)


def test_what_is_no_client_is_refused(tissue) -> None:
    with pytest.raises(TypeError, match=r"`client` is a str, not a `dask.distributed.Client`"):
        stf.tl.cross_validate(tissue, client="tcp://127.0.0.1:8786", **HOW)
