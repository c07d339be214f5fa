"""Half a million cells through embed, neighbors, fit, predict and write: time and memory.

Cells scattered over the image of section C2, with fabricated counts of 300 genes that follow its
colour. Writes ``results/many_cells.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from _memory import HEAD, Steps
from scipy import sparse
from spatialdata import SpatialData
from spatialdata.models import ShapesModel, TableModel

import stflow as stf

RESULTS = Path(__file__).parent / "results"
N_GENES, COUNTS = 300, 100


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
    run = Steps()
    sdata = run("fabricate", lambda: fabricate(given.cells))
    run("embed", lambda: stf.pp.embed(sdata, device="cpu", cache=False, **how))
    run("neighbors", lambda: stf.pp.neighbors(sdata))
    model = run("fit", lambda: stf.tl.fit(sdata, genes=list(sdata["table"].var_names), **training))
    run("predict", lambda: stf.tl.predict(sdata, model, **how))
    with tempfile.TemporaryDirectory() as folder:
        run("write", lambda: sdata.write(Path(folder) / "cells.zarr"))
    typed = " ".join(["python benchmarks/many_cells.py", *sys.argv[1:]])
    said = f"{given.cells:,} cells, {N_GENES} genes. `{typed}`."
    text = ["# Many cells in one go", "", *HEAD, said, "", *run.lines, ""]
    (RESULTS / "many_cells.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
