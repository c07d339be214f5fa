"""A slide whose process is killed in each stage."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path

import cohorts
import pytest
import torch
from cohorts import EVERY_STAGE, litter, same, write_scans

import stflow as stf
from stflow.cohort._state import STAGES


@pytest.mark.slow
def test_a_process_killed_in_each_stage(model_folder: Path, tmp_path: Path):
    scans = write_scans(tmp_path / "scans", 1)
    marks, out = tmp_path / "marks", tmp_path / "out"
    marks.mkdir()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cohorts", "squidpy"])
    for number, stage in enumerate(STAGES, start=1):
        process = context.Process(target=cohorts.die, args=(scans, model_folder, out, stage, marks))
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
