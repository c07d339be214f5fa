"""A cohort on workers: the same numbers, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from pathlib import Path

import cohorts
import dask
import pandas as pd
import pytest
import torch
from cohorts import HOW, LOCAL, litter, same, write_scans
from distributed import Client, LocalCluster

import stflow as stf
from stflow import _workers

pytestmark = pytest.mark.slow
N_SLIDES = 2


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return write_scans(tmp_path_factory.mktemp("scans"), N_SLIDES)


@pytest.fixture(scope="module")
def client(forks: BaseContext) -> Iterator[Client]:
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": forks.get_start_method()}),
        LocalCluster(**LOCAL, n_workers=2) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def serial(scans: pd.DataFrame, model_folder: Path, tmp_path_factory) -> Path:
    """What one process with one thread makes of the slides, as workers have one."""
    out = tmp_path_factory.mktemp("serial") / "out"
    finish(scans, out, model_folder)
    return out


def is_like(out: Path, serial: Path, scans: pd.DataFrame) -> bool:
    """Whether all slides are there, bit by bit, and nothing half written."""
    stores = [f"{slide}.zarr" for slide in scans["slide"]]
    return all(same(out / store, serial / store) for store in stores) and not litter(out)


def test_workers_killed_at_work(scans, client, serial, model_folder, tmp_path: Path):
    """And what they make is what one process makes."""
    marks = tmp_path / "marks"
    marks.mkdir()
    client.register_plugin(cohorts.Armed({"slide0": ["embed"], "slide1": ["write"]}, marks))
    table = stf.cohort.run(scans, tmp_path / "out", model=model_folder, client=client, **HOW)
    client.unregister_worker_plugin("armed")
    assert list(table["state"]) == ["done"] * N_SLIDES
    assert sorted(mark.name for mark in marks.iterdir()) == ["slide0-embed", "slide1-write"]
    assert is_like(tmp_path / "out", serial, scans)


@pytest.mark.parametrize(
    ("where", "value", "kind", "message"),
    [
        ("DISTRIBUTION", "no-such-package", RuntimeError, "2 of 2 workers have no stflow.*none"),
        ("__version__", "9.9", RuntimeError, "have no stflow 9.9: 'tcp://.* has "),
    ],
)
def test_workers_without_this_stflow_are_refused(
    scans, client, model_folder, tmp_path: Path, monkeypatch, where, value, kind, message
):
    monkeypatch.setattr(f"stflow._workers.{where}", value)
    with pytest.raises(kind, match=message):
        stf.cohort.run(scans, tmp_path / "out", model=model_folder, client=client, **HOW)
    assert not (tmp_path / "out").exists()


def test_workers_of_several_threads_are_refused(client, monkeypatch):
    monkeypatch.setattr(client, "nthreads", lambda: {"tcp://a": 1, "tcp://b": 8})
    with pytest.raises(ValueError, match=r"have several threads: 'tcp://b has 8'.*--nthreads 1"):
        _workers.require_workers(client)


def test_a_corrupt_slide_and_its_line(scans, client, serial, model_folder, tmp_path: Path):
    whole = Path(scans["path"][0])
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    bad = pd.DataFrame([{**scans.iloc[0], "slide": "broken", "path": str(broken)}])
    given = pd.concat([bad, scans[:1]], ignore_index=True)
    with pytest.warns(UserWarning, match="1 of 2 slides failed: 'broken: "):
        table = stf.cohort.run(
            given, tmp_path / "out", model=model_folder, client=client, retries=0, **HOW
        )
    assert list(table["state"]) == ["failed", "done"]
    assert "\n" not in table["error"][0]
    assert same(tmp_path / "out" / "slide0.zarr", serial / "slide0.zarr")
    assert not (tmp_path / "out" / "broken.zarr").exists()


def start(*words: str | Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that can import what tests can."""
    paths = os.pathsep.join(map(str, [Path(cohorts.__file__).parent, *sys.path]))
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words)]
    return subprocess.Popen(command, env=env, start_new_session=True)


def end(*processes: subprocess.Popen[bytes], by: signal.Signals = signal.SIGKILL) -> None:
    """End processes, and those that they started."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, by)
        process.wait(timeout=120)


def wait_for_a_store(out: Path) -> None:
    """Wait until something is finished."""
    until = time.monotonic() + 300
    while not list(out.glob("slide*.zarr")):
        if time.monotonic() > until:
            raise TimeoutError(f"nothing was finished in {out}")
        time.sleep(0.05)


def finish(scans: pd.DataFrame, out: Path, model_folder: Path) -> pd.DataFrame:
    """Go on in this process, with one thread as workers have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return stf.cohort.run(scans, out, model=model_folder, **HOW)
    finally:
        torch.set_num_threads(before)


def test_a_scheduler_that_is_killed(scans, serial, model_folder, tmp_path: Path):
    out, file = tmp_path / "out", tmp_path / "scheduler.json"
    words = ("--scheduler-file", file, "--no-dashboard")
    scheduler = start("-m", "distributed.cli.dask_scheduler", "--port", "0", *words)
    worker = start("-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *words)
    try:
        with Client(scheduler_file=str(file), timeout=120) as client:
            client.wait_for_workers(1, timeout=300)
            client.register_plugin(cohorts.Holding())
            killer = threading.Thread(target=lambda: (wait_for_a_store(out), end(scheduler)))
            killer.start()
            with pytest.raises(RuntimeError, match=r"The scheduler is gone.*same call goes on"):
                stf.cohort.run(scans, out, model=model_folder, client=client, **HOW)
            killer.join()
    finally:
        end(scheduler, worker)
    written = pd.read_csv(out / "cohort.csv")
    assert "done" in set(written["state"])
    names = finished(out)
    begun = [(out / f"{slide}.zarr").stat().st_mtime for slide in names]
    assert list(finish(scans, out, model_folder)["state"]) == ["done"] * N_SLIDES
    assert [(out / f"{slide}.zarr").stat().st_mtime for slide in names] == begun
    assert is_like(out, serial, scans)


def finished(out: Path) -> list[str]:
    return sorted(path.stem for path in out.glob("slide*.zarr"))


@pytest.mark.usefixtures("hears_ctrl_c")
def test_ctrl_c_in_a_terminal(scans, serial, model_folder, tmp_path: Path):
    """The signal goes to all processes of the terminal, the workers too."""
    scans.to_csv(tmp_path / "manifest.csv", index=False)
    out = tmp_path / "out"
    process = start(cohorts.__file__, tmp_path / "manifest.csv", model_folder, out)
    try:
        wait_for_a_store(out)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=120) != 0
    finally:
        end(process)
    written = pd.read_csv(out / "cohort.csv")
    assert "done" in set(written["state"])
    assert set(written["state"]) <= {"done", "queued", "running"}
    assert list(finish(scans, out, model_folder)["state"]) == ["done"] * N_SLIDES
    assert is_like(out, serial, scans)
