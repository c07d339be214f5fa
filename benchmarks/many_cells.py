"""Half a million cells through embed, neighbors, fit, predict and write: time and memory.

Cells scattered over the image of section C2, with fabricated counts of 300 genes that follow its
colour. Writes ``results/many_cells.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse
from spatialdata import SpatialData
from spatialdata.models import ShapesModel, TableModel

import stflow as stf

RESULTS = Path(__file__).parent / "results"
N_GENES, COUNTS = 300, 100
HEAD = [
    "# Many cells in one go",
    "",
    "Defaults but for what the command says, one process, CPU. Memory is the most that the process",
    "held in each step, looked at twice a second: its own, and with pages of files on disk, which",
    "the system takes back when it needs them.",
    "",
]


class Memory:
    """The most memory held since the last look, own and in all, in GiB."""

    def __init__(self) -> None:
        self._most = (0.0, 0.0)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._note()
            time.sleep(0.5)

    def _note(self) -> None:
        status = Path("/proc/self/status").read_text()
        held = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Rss"))
        sizes = {name: int(size.split()[0]) / 2**20 for name, size in held.items()}
        now = sizes["RssAnon"], sum(sizes.values())
        self._most = max(self._most[0], now[0]), max(self._most[1], now[1])

    def most(self) -> tuple[float, float]:
        """Tell, and begin anew."""
        self._note()
        most, self._most = self._most, (0.0, 0.0)
        return most


def fabricate(n_cells: int) -> SpatialData:
    """Scatter cells over section C2, with counts that follow the colour below each."""
    rng = np.random.default_rng(0)
    sdata = stf.datasets.her2st("C2")
    image = np.asarray(sdata["he"]["scale0"].image)
    height, width = image.shape[1:]
    at = rng.uniform(0, 1, (n_cells, 2)) * [width, height]
    colour = image[:, at[:, 1].astype(int), at[:, 0].astype(int)].T / 255
    weights = rng.gamma(0.3, size=N_GENES)
    share = np.exp(colour @ rng.normal(0, 1.5, (3, N_GENES))) * weights
    counts = [
        sparse.csr_matrix(
            rng.poisson(COUNTS * rows / rows.sum(1, keepdims=True)).astype(np.float32)
        )
        for rows in np.array_split(share, 1 + n_cells // 20_000)
    ]
    cells = ShapesModel.parse(at, geometry=0, radius=4 / sdata.attrs["slide_properties"]["mpp"])
    obs = pd.DataFrame({"region": pd.Categorical(["cells"] * n_cells), "cell": cells.index})
    obs.index = obs.index.astype(str)
    var = pd.DataFrame(index=[f"GENE{i:03d}" for i in range(N_GENES)])
    table = anndata.AnnData(sparse.vstack(counts, format="csr"), obs=obs, var=var)
    table.obsm["spatial"] = at
    parsed = TableModel.parse(table, region="cells", region_key="region", instance_key="cell")
    return SpatialData(
        images={"he": sdata["he"]},
        shapes={"cells": cells},
        tables={"table": parsed},
        attrs=sdata.attrs,
    )


def main() -> None:
    """Run each step, and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=500_000)
    parser.add_argument("--max-epochs", type=int, help="of fit; default: its own")
    given = parser.parse_args()
    how: dict[str, Any] = {"show_progress_bar": False}
    training = how | ({"max_epochs": given.max_epochs} if given.max_epochs else {})
    lines = [
        "| step | wall (s) | CPU (s) | own memory (GiB) | with files (GiB) |",
        "| --- | --- | --- | --- | --- |",
    ]
    memory = Memory()

    def run(name: str, step: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        found = step()
        own, every = memory.most()
        took = time.perf_counter() - wall, time.process_time() - cpu
        lines.append(f"| {name} | {took[0]:,.0f} | {took[1]:,.0f} | {own:.1f} | {every:.1f} |")
        print(lines[-1], flush=True)
        return found

    sdata = run("fabricate", lambda: fabricate(given.cells))
    run("embed", lambda: stf.pp.embed(sdata, device="cpu", cache=False, **how))
    run("neighbors", lambda: stf.pp.neighbors(sdata))
    model = run("fit", lambda: stf.tl.fit(sdata, genes=list(sdata["table"].var_names), **training))
    run("predict", lambda: stf.tl.predict(sdata, model, **how))
    with tempfile.TemporaryDirectory() as folder:
        run("write", lambda: sdata.write(Path(folder) / "cells.zarr"))
    typed = " ".join(["python benchmarks/many_cells.py", *sys.argv[1:]])
    said = f"{given.cells:,} cells, {N_GENES} genes. `{typed}`."
    (RESULTS / "many_cells.md").write_text("\n".join([*HEAD, said, "", *lines, ""]))


if __name__ == "__main__":
    main()
