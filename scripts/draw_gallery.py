"""The pictures of docs/gallery.md, whose code that page takes from here, on tissue fit for it."""

from __future__ import annotations

import argparse
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from spatialdata import SpatialData

import stflow as stf

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "_static" / "gallery"
WORK = ROOT / "gallery"
DPI = 80
MOST_BYTES = 150_000
SMALL: dict[str, Any] = {"config": {"hidden": 64, "n_layers": 2}, "max_epochs": 20}
SIGNATURES = {"HER2 amplicon": ["ERBB2", "GRB7", "MIEN1", "STARD3"]}


def tumour() -> tuple[dict[str, SpatialData], stf.STFlow]:
    """Fit on two sections of a tumour, and predict two others, with samples to score sets by."""
    sections = {name: stf.datasets.her2st(name) for name in ("C2", "C3", "C4", "C5")}
    for sdata in sections.values():
        stf.pp.embed(sdata, mpp=1.0, how="tiles", cache=WORK / "vectors")
        stf.pp.neighbors(sdata)
    train = {name: sections.pop(name) for name in ("C2", "C3")}
    genes = stf.pp.select_genes(train, n_top_genes=40)
    genes += [gene for gene in SIGNATURES["HER2 amplicon"] if gene not in genes]
    model, test = stf.tl.fit(train, genes, **SMALL), sections["C5"]
    for sdata in sections.values():
        stf.tl.predict(sdata, model, n_samples=100, keep_samples=True)
        stf.tl.score_genes(sdata, SIGNATURES)
    x = test["table"].obsm["spatial"][:, 0]
    stf.tl.predict(test, model, n_samples=8, observed=x < np.median(x), key_added="half_measured")
    return sections, model


def patients() -> tuple[dict[str, SpatialData], pd.DataFrame]:
    """Fit on five synthetic patients and predict five others; and compare methods on them."""
    slides = stf.datasets.synthetic(10, n_patients=10, n_spots=100, n_genes=20, image_mpp=4.0)
    for sdata in slides.values():
        stf.pp.embed(sdata, mpp=4.0, how="tiles", cache=WORK / "vectors")
        stf.pp.neighbors(sdata)
    train = {name: slides.pop(name) for name in list(slides)[:5]}
    model = stf.tl.fit(train, stf.pp.select_genes(train, n_top_genes=15), **SMALL)
    for sdata in slides.values():
        stf.tl.predict(sdata, model, n_samples=8)
    methods = ["kernel_ridge", "reduced_rank", "ridge"]
    return slides, stf.tl.cross_validate(slides, methods=methods, n_top_genes=15)


def spots(test: SpatialData) -> None:
    """Spots of a section, coloured by novelty, and a close-up."""
    stf.pl.spots(test, "stflow_novelty", figsize=(9, 4.4))


def measured_beside_predicted(test: SpatialData) -> None:
    """Two genes on a tumour section, measured beside predicted, each pair in one colour scale."""
    stf.pl.gene_maps(test, ["ERBB2", "CD74"])


def uncertainty_beside(test: SpatialData) -> None:
    """Expression of two genes, each beside its standard deviation, zero where counts were given."""
    stf.pl.gene_maps(test, ["ERBB2", "CD74"], "half_measured", kinds=["predicted", "sd"])


def uncertainty_as_transparency(test: SpatialData) -> None:
    """Predicted expression of two genes, faint where it is uncertain."""
    genes = ["ERBB2", "CD74"]
    stf.pl.gene_maps(test, genes, "half_measured", kinds="predicted", fade=True)


def difference(test: SpatialData) -> None:
    """One gene measured, predicted, and the difference of both in blue and red."""
    stf.pl.gene_maps(test, "ERBB2", kinds=["measured", "predicted", "difference"])


def genes_and_slides(sections: dict[str, SpatialData]) -> None:
    """Predicted expression of four genes on two sections."""
    genes = ["ERBB2", "GRB7", "CD74", "IGHG3"]
    stf.pl.gene_maps(sections, genes, kinds="predicted", ncols=2, figsize=(12, 4.8))


def signature_and_interval(test: SpatialData) -> None:
    """Lower bound, mean and upper bound of a signature in one colour scale."""
    bounds = ["lower", "predicted", "upper"]
    stf.pl.gene_maps(test, "HER2 amplicon", "stflow_scores", kinds=bounds, level=0.8)


def measured_against_predicted(sections: dict[str, SpatialData]) -> None:
    """Hexagons coloured by the number of spots, measured against predicted, three genes."""
    stf.pl.scatter(sections, ["ERBB2", "CD74", "IGHG3"])


def ranking(test: SpatialData) -> None:
    """Correlation of each gene, best first, with its ceiling and that of depth alone."""
    scores = stf.tl.evaluate(test)
    stf.pl.scores(scores)


def trust(test: SpatialData) -> None:
    """Correlation of each gene on sections left out of the fit, rings where it may be chance."""
    stf.pl.scores(test)


def methods_by_fold(cross_validated: pd.DataFrame) -> None:
    """Mean correlation of three methods, joined by a line for each patient."""
    stf.pl.scores(cross_validated)


def calibration(slides: dict[str, SpatialData]) -> None:
    """Measured against claimed coverage, a line for each patient and one for all."""
    stf.pl.calibration(slides, groups={name: name for name in slides})


def training(model: stf.STFlow) -> None:
    """Training and validation loss against the epoch."""
    stf.pl.training(model)


PICTURES: tuple[Callable[..., None], ...] = (
    measured_beside_predicted,
    uncertainty_beside,
    uncertainty_as_transparency,
    difference,
    genes_and_slides,
    signature_and_interval,
    measured_against_predicted,
    ranking,
    trust,
    methods_by_fold,
    calibration,
    spots,
    training,
)


def draw(picture: Callable[..., None], data: dict[str, Any]) -> None:
    """Write a picture, in 256 colours where it is large, and say its size."""
    picture(**{name: data[name] for name in inspect.signature(picture).parameters})
    path = OUT / f"{picture.__name__}.png"
    plt.gcf().savefig(path, dpi=DPI, bbox_inches="tight")
    plt.close("all")
    if path.stat().st_size > MOST_BYTES / 3:
        whole = Image.open(path).convert("RGB")
        palette = whole.quantize(256, method=Image.Quantize.MAXCOVERAGE)
        whole.quantize(palette=palette).save(path, optimize=True)
    n_bytes = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {n_bytes / 1000:.0f} kB", flush=True)
    if n_bytes > MOST_BYTES:
        raise SystemExit(f"{path} is larger than {MOST_BYTES} bytes; draw fewer or smaller panels.")


def main() -> None:
    """Draw all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    names = [picture.__name__ for picture in PICTURES]
    parser.add_argument("pictures", nargs="*", metavar="picture", help=", ".join(names))
    wanted = parser.parse_args().pictures or names
    unknown = set(wanted) - set(names)
    if unknown:
        parser.error(f"no picture {', '.join(sorted(unknown))}")
    matplotlib.use("Agg")
    warnings.filterwarnings("ignore", message="zarr v3 autosharding")
    OUT.mkdir(parents=True, exist_ok=True)
    sections, model = tumour()
    slides, cross_validated = patients()
    data = {
        "sections": sections,
        "test": sections["C5"],
        "model": model,
        "slides": slides,
        "cross_validated": cross_validated,
    }
    for picture in PICTURES:
        if picture.__name__ in wanted:
            draw(picture, data)


if __name__ == "__main__":
    main()
