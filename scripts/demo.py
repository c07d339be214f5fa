"""The main job on real tissue: fit on three sections, predict a fourth, look at the result."""

from __future__ import annotations

import os
import resource
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import stflow as stf

if TYPE_CHECKING:
    from spatialdata import SpatialData

OUT = Path("demo")
TRAINING, TEST = ("C2", "C3", "C4"), "C5"


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what happens, how long it took, and the peak memory so far."""
    print(f"{name} ...", flush=True)
    start = time.perf_counter()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"  {time.perf_counter() - start:6.1f} s, peak memory {peak:.1f} GiB", flush=True)


def load() -> tuple[dict[str, SpatialData], SpatialData]:
    """Return training slides and the test slide: real tissue, else synthetic."""
    try:
        slides = {name: stf.datasets.her2st(name) for name in (*TRAINING, TEST)}
    except OSError as error:
        print(f"  no real tissue: {error}\n  so this demo runs on synthetic tissue")
        slides = stf.datasets.synthetic(4, n_spots=200)
    *_, test = slides
    return {name: slides[name] for name in slides if name != test}, slides[test]


def main() -> None:
    """Run every step of the main job and write its results under ``demo/``."""
    os.environ["MPLBACKEND"] = "Agg"
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="docrep")
    warnings.filterwarnings("ignore", message="zarr v3 autosharding")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    with step("Loading sections"):
        train, test = load()
        print(f"  train on {', '.join(train)}")
    with step("Embedding the spots of four sections, some minutes"):
        for sdata in (*train.values(), test):
            stf.pp.embed(sdata)
    with step("Finding neighbours and genes"):
        for sdata in (*train.values(), test):
            stf.pp.neighbors(sdata)
        genes = stf.pp.select_genes(train, n_top_genes=50)
        genes += [gene for gene in ("ERBB2", "FASN") if gene in test["table"].var_names]
    with step("Fitting, a minute or two; each line of progress is a part of the model"):
        model = stf.tl.fit(train, genes=genes)
        print(model)
    with step("Predicting the section that was left out"):
        stf.tl.predict(test, model)
    with step("Scoring"):
        scores = stf.tl.evaluate(test)
        scores.to_csv(OUT / "scores.csv")
        told = ["pearson", "pearson_depth", "partial", "ceiling", "spearman", "rmse", "crps"]
        print(scores.sort_values("pearson", ascending=False)[told].round(3).to_string())
        means = {name: round(scores.attrs[name], 3) for name in told}
        print(f"  means over {scores.attrs['n_genes']} genes, units {model.units!r}: {means}")
    with step("Drawing"):
        stf.pl.gene_maps(test, genes[-2:], save=OUT / "gene_maps.png", show=False)
        stf.pl.training(model, save=OUT / "training.png", show=False)
        stf.pl.scores(scores, save=OUT / "scores.png", show=False)
    with step("Saving the model and the prediction"):
        model.save(OUT / "her2.stflow")
        test.write(OUT / "predicted.zarr")
    print(f"Results are in {OUT}/: {', '.join(sorted(path.name for path in OUT.iterdir()))}")


if __name__ == "__main__":
    main()
