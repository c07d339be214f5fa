"""A slide whose process is killed in each stage."""

from __future__ import annotations

import signal
from multiprocessing.context import BaseContext
from pathlib import Path

import cohorts
import pytest
import torch
from cohorts import EVERY_STAGE, litter, same, write_scans

import stflow as stf
from stflow.artifacts import _pen
from stflow.cohort._state import STAGES


@pytest.mark.slow
def test_a_process_killed_in_each_stage(
    forks: BaseContext, model_folder: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(_pen, "MinCovDet", cohorts.plain_covariance)
    scans = write_scans(tmp_path / "scans", 1)
    marks, out = tmp_path / "marks", tmp_path / "out"
    marks.mkdir()
    for number, stage in enumerate(STAGES, start=1):
        process = forks.Process(target=cohorts.die, args=(scans, model_folder, out, stage, marks))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert len(list(marks.iterdir())) == number
        assert not (out / "slide0.zarr").exists()
    assert litter(out)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        table = stf.cohort.run(scans, out, model=model_folder, **EVERY_STAGE)
        stf.cohort.run(scans, tmp_path / "whole", model=model_folder, **EVERY_STAGE)
    finally:
        torch.set_num_threads(before)
    assert (table["state"][0], table["attempts"][0]) == ("done", len(STAGES) + 1)
    assert same(out / "slide0.zarr", tmp_path / "whole" / "slide0.zarr")
    assert litter(out) == []
