"""A cohort on workers: the same numbers, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cohorts
import pandas as pd
import pytest
import torch
from cohorts import HOW, litter, same, write_scans
from distributed import Client, LocalCluster

import stflow as stf
from stflow.cohort import _cluster

pytestmark = pytest.mark.slow
N_SLIDES = 4


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return write_scans(tmp_path_factory.mktemp("scans"), N_SLIDES)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    local: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**local) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def serial(scans: pd.DataFrame, model_folder: Path, tmp_path_factory) -> Path:
    """What one process with one thread makes of the slides, as workers have one."""
    out = tmp_path_factory.mktemp("serial") / "out"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        stf.cohort.run(scans, out, model=model_folder, **HOW)
    finally:
        torch.set_num_threads(before)
    return out


def is_like(out: Path, serial: Path, scans: pd.DataFrame) -> bool:
    """Whether all slides are there, bit by bit, and nothing half written."""
    stores = [f"{slide}.zarr" for slide in scans["slide"]]
    return all(same(out / store, serial / store) for store in stores) and not litter(out)


def test_workers_killed_in_each_stage(scans, client, serial, model_folder, tmp_path: Path):
    """And, since the other tries are not disturbed, that workers do as one process does."""
    marks = tmp_path / "marks"
    marks.mkdir()
    client.run(cohorts.arm, cohorts.deaths(N_SLIDES), str(marks))
    for _ in range(8):  # those that were killed come back unarmed: until each stage had its death
        table = stf.cohort.run(
            scans, tmp_path / "out", model=model_folder, client=client, retries=5, **HOW
        )
        if len(list(marks.iterdir())) == 8:
            break
        client.run(cohorts.arm, cohorts.deaths(N_SLIDES), str(marks))
    assert list(table["state"]) == ["done"] * N_SLIDES
    assert len(list(marks.iterdir())) == 8
    assert is_like(tmp_path / "out", serial, scans)
