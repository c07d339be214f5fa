"""Does a cohort hold its memory, and do workers share it? Writes ``results/cohort.md``, ``.png``.

Memory is that of one process which predicts 200 small slides, one after the other, with the default
encoder. Throughput is that of workers whose slides only wait, so that the machine's processors do
not matter: what is left is what the scheduler, locks and files cost.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import matplotlib
import numpy as np
import pandas as pd
import psutil
from distributed import Client, LocalCluster

import stflow as stf
from stflow.cohort import _cluster, _serial
from stflow.cohort._state import DONE, State

RESULTS = Path(__file__).parent / "results"
LOOK = {"how": "tiles", "mpp": 4.0, "tile_px": 56, "device": "cpu", "show_progress_bar": False}
KINDS = 4
MIB = 2**20
WORKERS = (1, 2, 4, 8)
WAIT_S, N_WAITING = 1.0, 64


def write_slides(folder: Path) -> dict[str, Path]:
    """Slides with spots on disk."""
    slides = stf.datasets.synthetic(KINDS, n_spots=64, n_genes=20, image_mpp=4.0, seed=3)
    for name, sdata in slides.items():
        sdata.write(folder / f"{name}.zarr")
    return {name: folder / f"{name}.zarr" for name in slides}


def fit_model() -> stf.STFlow:
    slides = stf.datasets.synthetic(3, n_spots=64, n_genes=20, image_mpp=4.0, seed=0)
    for sdata in slides.values():
        stf.pp.embed(sdata, **LOOK)
        stf.pp.neighbors(sdata)
    genes = stf.pp.select_genes(slides, n_top_genes=10)
    how = {"config": {"hidden": 32, "n_flows": 1}, "max_epochs": 3, "show_progress_bar": False}
    return stf.tl.fit(slides, genes=genes, **how)


def memory(root: Path, n_slides: int) -> pd.DataFrame:
    """Memory of this process and time after each slide."""
    places = list(write_slides(root).values())
    rows = []
    for number in range(n_slides):
        place = root / f"link{number}.zarr"
        place.symlink_to(places[number % KINDS])
        rows.append({"slide": f"slide{number:03}", "path": str(place)})
    seen: list[dict[str, float]] = []
    begun = time.perf_counter()

    def watched(*args, **kwargs) -> State:
        state = work(*args, **kwargs)
        held = psutil.Process(os.getpid()).memory_info().rss / MIB
        seen.append({"mib": held, "seconds": time.perf_counter() - begun})
        return state

    work = _serial.work
    how = {"n_samples": 2, "device": "cpu", "artifacts": False}
    with mock.patch.object(_serial, "work", watched):
        table = stf.cohort.run(pd.DataFrame(rows), root / "out", model=fit_model(), **how)
    if not (table["state"] == DONE).all():
        raise RuntimeError(table["error"].iloc[0])
    return pd.DataFrame(seen)


def wait(row, plan, folder) -> State:
    """Stand for a slide."""
    with folder.lock(f"slide-{row.slide}"):
        state = State(row.slide, row=row.plain(), state=DONE)
        time.sleep(WAIT_S)
        state.write(folder.state_file(row.slide))
        return state


@contextmanager
def cluster(n_workers: int):
    local = {"n_workers": n_workers, "threads_per_worker": 1, "processes": False}
    with LocalCluster(**local, dashboard_address=None) as made, Client(made) as client:
        yield client


def throughput(root: Path, model: stf.STFlow) -> pd.DataFrame:
    """Slides a second against workers."""
    places = list(write_slides(root).values())
    path = str(places[0])
    found = []
    for n_workers in WORKERS:
        names = [f"slide{number}" for number in range(N_WAITING)]
        paths = []
        for name in names:
            place = root / f"{n_workers}-{name}.zarr"
            place.symlink_to(path)
            paths.append(str(place))
        manifest = pd.DataFrame({"slide": names, "path": paths})
        with cluster(n_workers) as client, mock.patch.object(_cluster, "work", wait):
            begun = time.perf_counter()
            out = root / f"out{n_workers}"
            stf.cohort.run(manifest, out, model=model, client=client, device="cpu")
            took = time.perf_counter() - begun
        found.append({"workers": n_workers, "seconds": took, "slides_per_s": N_WAITING / took})
    frame = pd.DataFrame(found)
    frame["efficiency"] = frame["slides_per_s"] * WAIT_S / frame["workers"]
    return frame


def draw(held: pd.DataFrame, shared: pd.DataFrame, path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.plot(np.arange(1, len(held) + 1), held["mib"])
    left.set(xlabel="slides done", ylabel="memory of the process (MiB)", ylim=(0, None))
    right.plot(shared["workers"], shared["slides_per_s"], "o-", label="measured")
    right.plot(shared["workers"], shared["workers"] / WAIT_S, "--", color="0.6", label="ideal")
    right.set(xlabel="workers", ylabel="slides of 1 s a second", xticks=list(WORKERS))
    right.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=200)
    n_slides = parser.parse_args().slides
    warnings.filterwarnings("ignore", category=UserWarning)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        shared = throughput(Path(second), fit_model())
        print(shared)
        held = memory(Path(first), n_slides)
    start, end = held["mib"].iloc[min(19, len(held) - 1)], held["mib"].iloc[-1]
    each_s = held["seconds"].iloc[-1] / len(held)
    text = (
        "# Cohorts: memory and workers\n\n"
        f"{n_slides} slides of 64 spots in one process, {each_s:.1f} s each: {start:.0f} MiB after "
        f"20 slides,\n{end:.0f} MiB after {n_slides}, at most {held['mib'].max():.0f} MiB.\n\n"
        f"{N_WAITING} slides that wait for {WAIT_S:g} s, on workers that are threads of one "
        f"process on {os.cpu_count()} cores.\n`python benchmarks/cohort.py`.\n\n"
        "| workers | seconds | slides a second | of the ideal |\n|---|---|---|---|\n"
    )
    for row in shared.itertuples():
        text += f"| {row.workers} | {row.seconds:.1f} | {row.slides_per_s:.2f} "
        text += f"| {row.efficiency:.0%} |\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cohort.md").write_text(text, encoding="utf-8")
    draw(held, shared, RESULTS / "cohort.png")


if __name__ == "__main__":
    main()
