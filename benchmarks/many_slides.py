"""A fit to 60,000 spots of twenty slides whose embeddings stay on disk: time and memory.

Fabricated slides of ten patients, 3,000 spots each on a Visium lattice, with 1,000 genes whose
counts follow a smooth field that the embeddings, 4,608 wide, show among noise. Writes
``results/many_slides.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import anndata
import dask.array as da
import numpy as np
import pandas as pd
from _memory import HEAD, Steps
from scipy import sparse
from spatialdata import SpatialData
from spatialdata.models import ShapesModel, TableModel

import stflow as stf

RESULTS = Path(__file__).parent / "results"
SIDE, WIDTH, N_GENES, N_FIELDS, PITCH_UM = 55, 4608, 1000, 12, 100.0


def fabricate(number: int, folder: Path, n_spots: int) -> SpatialData:
    """Make a slide whose embeddings lie in a folder."""
    law, rng = np.random.default_rng(0), np.random.default_rng([1, number])
    mix = law.normal(size=(N_FIELDS, WIDTH)) / np.sqrt(N_FIELDS)
    weights, level = law.normal(0, 0.5, (N_FIELDS, N_GENES)), law.normal(-1, 1.5, N_GENES)
    j, i = np.divmod(np.arange(n_spots), SIDE)
    at = np.stack([(i + j % 2 / 2) * PITCH_UM, j * PITCH_UM * np.sqrt(0.75)], axis=1)
    waves = rng.normal(0, 2e-3, (2, N_FIELDS))
    fields = np.sqrt(2) * np.sin(at @ waves + rng.uniform(0, 6, N_FIELDS))
    counts = rng.poisson(np.exp(fields @ weights + level)).astype(np.float32)
    vectors = (fields @ mix + rng.normal(0, 0.5, (n_spots, WIDTH))).astype(np.float32)
    file = folder / f"vectors-{number}.zarr"
    da.from_array(vectors, chunks=(512, WIDTH)).to_zarr(str(file))
    obs = pd.DataFrame({"region": pd.Categorical(["spots"] * n_spots), "spot": range(n_spots)})
    obs.index = obs.index.astype(str)
    var = pd.DataFrame(index=[f"GENE{gene:04d}" for gene in range(N_GENES)])
    table = anndata.AnnData(sparse.csr_matrix(counts), obs=obs, var=var)
    table.obsm["X_embedding"] = da.from_zarr(str(file))
    parsed = TableModel.parse(table, region="spots", region_key="region", instance_key="spot")
    spots = ShapesModel.parse(at, geometry=0, radius=PITCH_UM / 4)
    properties = {"slide_properties": {"mpp": 1.0, "patient": f"P{number % 10}"}}
    sdata = SpatialData(shapes={"spots": spots}, tables={"table": parsed}, attrs=properties)
    stf.pp.neighbors(sdata)
    return sdata


def main() -> None:
    """Run each step, and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--spots", type=int, default=3000)
    given = parser.parse_args()
    run = Steps()
    with tempfile.TemporaryDirectory() as name:
        folder, numbers = Path(name), range(given.slides)
        slides = run(
            "fabricate", lambda: {f"S{n}": fabricate(n, folder, given.spots) for n in numbers}
        )
        genes = run("select_genes", lambda: stf.pp.select_genes(slides, n_top_genes=50))
        model = run("fit", lambda: stf.tl.fit(slides, genes, show_progress_bar=False))
    typed = " ".join(["python benchmarks/many_slides.py", *sys.argv[1:]])
    said = f"{given.slides} slides of {given.spots:,} spots, 50 genes, vectors of {WIDTH:,}."
    steps = model.history.groupby("flow")["step"].max().tolist()
    score = model.trust["pearson"].mean()
    found = f"Steps of the flows: {steps}; mean Pearson correlation {score:.3f}, left out."
    text = [
        "# Many slides in one fit",
        "",
        *HEAD,
        f"{said} `{typed}`.",
        "",
        *run.lines,
        "",
        found,
        "",
    ]
    (RESULTS / "many_slides.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
