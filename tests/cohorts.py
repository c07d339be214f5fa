"""Small cohorts on disk, and what may befall them on a worker, which imports this file too."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from distributed import Client, LocalCluster, WorkerPlugin
from PIL import Image
from sklearn.covariance import EmpiricalCovariance
from spatialdata import SpatialData, read_zarr
from support import colours

import stflow as stf
from stflow.artifacts import _pen
from stflow.cohort import _work

MPP, HELD_S = 4.0, 300
LOCAL: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
HOW: dict[str, Any] = {
    "encoder": colours,
    "artifacts": False,
    "n_samples": 2,
    "n_steps": 2,
    "device": "cpu",
    "show_progress_bar": False,
}
EVERY_STAGE = {**HOW, "artifacts": True}


def write_scans(folder: Path, n_slides: int) -> pd.DataFrame:
    """Write images alone, and return their manifest, with absolute paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    how = {"n_spots": 25, "n_genes": 12, "image_mpp": MPP, "seed": 7}
    for number, sdata in enumerate(stf.datasets.synthetic(n_slides, **how).values()):
        pixels = np.asarray(sdata["he"]["scale0"]["image"]).transpose(1, 2, 0)
        path = folder / f"scan{number}.png"
        Image.fromarray(pixels).save(path)
        rows.append({"slide": f"slide{number}", "path": str(path), "patient": f"P{number % 2}"})
    return pd.DataFrame(rows).assign(image_mpp=MPP, pitch_um=200, lattice="square")


def content(store: Path) -> dict[str, np.ndarray]:
    """What a store predicts, and from what."""
    table = read_zarr(store)["table"]
    found = {name: np.asarray(table.obsm[name]) for name in table.obsm}
    graph = table.obsp["spatial_distances"]
    found |= {"graph": graph.toarray(), "novelty": table.obs["stflow_novelty"].to_numpy()}
    return found


def same(one: Path, other: Path) -> bool:
    """Whether two stores hold the same numbers, bit by bit."""
    here, there = content(one), content(other)
    return here.keys() == there.keys() and all(
        np.array_equal(here[name], there[name], equal_nan=True) for name in here
    )


def litter(folder: Path) -> list[str]:
    """Hidden things that a killed writer left."""
    hidden = (path for part in ("", "state") for path in (folder / part).glob(".*-*"))
    return sorted(path.name for path in hidden)


def arm(deaths: Mapping[str, list[str]], marks: str) -> None:
    """Let this worker be killed in some stages of some slides, once in each.

    Death in ``"write"`` comes when all is written and nothing has its name yet.
    """
    stage, write = _work.Progress.stage, SpatialData.write

    def falls(slide: str, name: str) -> bool:
        mark = Path(marks, f"{slide}-{name}")
        if name not in deaths.get(slide, ()) or mark.exists():
            return False
        mark.touch()
        return True

    @contextmanager
    def deadly(self: _work.Progress, name: str) -> Iterator[None]:
        with stage(self, name):
            if name != "write" and falls(self.state.slide, name):
                os.kill(os.getpid(), signal.SIGKILL)
            yield

    def deadly_write(self: SpatialData, place: Path, **how: Any) -> None:
        write(self, place, **how)
        if falls(place.parent.name.split(".")[1], "write"):
            os.kill(os.getpid(), signal.SIGKILL)

    _work.Progress.stage = deadly
    SpatialData.write = deadly_write


class Armed(WorkerPlugin):
    """Arms every worker, those that take the place of killed ones too."""

    def __init__(self, deaths: Mapping[str, list[str]], marks: Path) -> None:
        self.name, self.deaths, self.marks = "armed", deaths, str(marks)

    def setup(self, worker: Any) -> None:
        arm(self.deaths, self.marks)


def hold_after_one() -> None:
    """Let this worker do one slide, and stop in the next until somebody ends it."""
    stage = _work.Progress.stage
    begun: set[str] = set()

    @contextmanager
    def holding(self: _work.Progress, name: str) -> Iterator[None]:
        begun.add(self.state.slide)
        if len(begun) > 1:
            time.sleep(HELD_S)
        with stage(self, name):
            yield

    _work.Progress.stage = holding


class Holding(WorkerPlugin):
    """Every worker does one slide and holds the next, so that what ends it never comes too late."""

    name = "holding"

    def setup(self, worker: Any) -> None:
        hold_after_one()


def plain_covariance(**_: Any) -> EmpiricalCovariance:
    """In the place of the robust one, which takes seconds on the smallest slide."""
    return EmpiricalCovariance()


def die(manifest: pd.DataFrame, model: Path, out: Path, stage: str, marks: Path) -> None:
    """Run a cohort in this process, which is killed in a stage of its first slide."""
    torch.set_num_threads(1)
    _pen.MinCovDet = plain_covariance
    arm({"slide0": [stage]}, str(marks))
    stf.cohort.run(manifest, out, model=model, **EVERY_STAGE)


def main(manifest: str, model: str, out: str) -> None:
    """Run a cohort on a worker of its own, as a script does, and hold its second slide."""
    with LocalCluster(**LOCAL, n_workers=1) as cluster, Client(cluster) as client:
        client.register_plugin(Holding())
        stf.cohort.run(manifest, out, model=model, client=client, **HOW)


if __name__ == "__main__":
    main(*sys.argv[1:])
