"""What the vector over a cell's own outline adds to boxes around it, and what it costs.

Synthetic tissue whose cells have counts by a known law (``stf.datasets.synthetic_cells``), where
some of the cells lie among cells of other kinds, or none do. Kernel ridge learns from the cells of
two slides and predicts those of a third, from boxes alone and from boxes and outlines; the vectors
of both are read in one pass. Writes ``results/outlines.md``, ``.csv`` and ``.png``. What is in
``.csv`` is not computed again; delete it to start anew.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch

import stflow as stf
from stflow.metrics import pearson
from stflow.slide import Slide

RESULTS = Path(__file__).parent / "results"
WIDTHS_UM, MPP = (16, 112, 224), 0.5
CELLS: dict[str, Any] = {"n_genes": 50, "image_mpp": MPP}
LOOK: dict[str, Any] = {"widths_um": WIDTHS_UM, "mpp": MPP, "show_progress_bar": False}
READ = {
    "boxes of 112 and 224 um": (1, 2),
    "the same and outlines": (1, 2, 3),
    "boxes of 16, 112 and 224 um": (0, 1, 2),
    "the same three and outlines": (0, 1, 2, 3),
    "boxes of 16 um": (0,),
    "outlines": (3,),
}
MIXING, N_SEEDS, N_SPOTS, N_TIMED = (0.0, 0.3), 3, 20, 150
KEYS = ["mixing", "seed", "read"]


def make(mixing: float, seed: int) -> tuple[list[Slide], np.ndarray]:
    """Cells of three slides, whose vectors are those of all boxes and outlines, and the law."""
    made = stf.datasets.synthetic_cells(3, n_spots=N_SPOTS, mixing=mixing, seed=seed, **CELLS)
    for sdata in made.values():
        stf.pp.embed(sdata, table_key="cells_table", outlines=True, **LOOK)
        stf.pp.neighbors(sdata, table_key="cells_table")
    genes = list(made["S1"]["cells_table"].var_names)
    slides = stf.get.slides(made, genes, units="counts", table_key="cells_table")
    return slides, made["S3"]["cells_table"].layers["expected"]


def with_some(slide: Slide, parts: tuple[int, ...]) -> Slide:
    """Keep the vectors of some boxes."""
    vectors = np.split(slide.embedding, len(WIDTHS_UM) + 1, axis=1)
    return replace(slide, embedding=np.concatenate([vectors[part] for part in parts], axis=1))


def score(
    slides: list[Slide], law: np.ndarray, parts: tuple[int, ...], seed: int
) -> dict[str, float]:
    """Learn from two slides and predict the third."""
    *train, test = (with_some(slide, parts) for slide in slides)
    found = stf.baselines.KernelRidge().fit(train, seed=seed).predict(test)
    return {
        "cells": len(found),
        "pearson": float(np.nanmean(pearson(test.expression, found))),
        "law": float(np.nanmean(pearson(law, found))),
        "best": float(np.nanmean(pearson(test.expression, law))),
    }


def measure(path: Path) -> pd.DataFrame:
    """Score all that is not in the file, and keep each as it is found."""
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=KEYS)
    for seed, mixing in product(range(N_SEEDS), MIXING):
        own = done[(done["mixing"] == mixing) & (done["seed"] == seed)]
        left = [name for name in READ if name not in set(own["read"])]
        if not left:
            continue
        slides, law = make(mixing, seed)
        for name in left:
            row = {"mixing": mixing, "seed": seed, "read": name}
            row |= score(slides, law, READ[name], seed)
            print(row, flush=True)
            done = pd.DataFrame([*done.to_dict("records"), row])
            done.to_csv(path, index=False, float_format="%.5f")
    return done


def cost() -> str:
    """CPU seconds of 10,000 outlines beside boxes, and of all that embedding takes."""
    sdata = stf.datasets.synthetic_cells(1, n_spots=N_TIMED, **CELLS)["S1"]
    n_cells = sdata["cells_table"].n_obs
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for outlines in (False, True, False, True):
        start = time.process_time()
        how: dict[str, Any] = {"table_key": "cells_table", "outlines": outlines, "cache": False}
        stf.pp.embed(sdata, inplace=False, device="cpu", **how, **LOOK)
        seconds[outlines].append(time.process_time() - start)
    without, both = (min(each) for each in (seconds[False], seconds[True]))
    corners = sdata["cells"].geometry.count_coordinates().mean()
    return (
        f"Cost, on the CPU with one thread for the network: {n_cells} cells of {corners:.0f} "
        f"corners took {without:.1f} CPU seconds with the three boxes and {both:.1f} with outlines "
        f"as well, {1e4 * (both - without) / n_cells:.1f} more for 10,000 cells. The lesser of two "
        "runs each."
    )


def spread(values: pd.Series, sign: str = "") -> str:
    """Mean and, of several, standard deviation."""
    deviation = f" ± {values.std():.3f}" if values.count() > 1 else ""
    return f"{values.mean():{sign}.3f}{deviation}"


def summarised(scores: pd.DataFrame) -> list[str]:
    """Write mean and spread over seeds, and what outlines gain seed by seed, in Markdown."""
    names = {"pearson": "measured", "law": "law", "best": "law with measured"}
    lines = [
        "| mixing | read | seeds | "
        + " | ".join(names.values())
        + " | gain, measured | gain, law |"
    ]
    lines.append("|---" * (len(names) + 5) + "|")
    wide = scores.pivot(index=["mixing", "seed"], columns="read", values=list(names))
    for mixing, name in product(MIXING, READ):
        own = wide.xs(mixing, level="mixing")
        told = [str(own["law", name].count()), *(spread(own[key, name]) for key in names)]
        base = next((each for each in READ if READ[each] == READ[name][:-1]), None)
        for key in ("pearson", "law"):
            gain = own[key, name] - own[key, base] if base else None
            told.append("" if gain is None else spread(gain, "+"))
        lines.append(f"| {mixing} | {name} | " + " | ".join(told) + " |")
    return lines


def report(scores: pd.DataFrame, cost_told: str) -> str:
    """Write the table, and what it is of."""
    low, high = scores["cells"].min(), scores["cells"].max()
    return "\n".join(
        [
            "# Cells by boxes and by their outlines",
            "",
            f"Synthetic cells ({CELLS['n_genes']} genes, log1p of counts, {MPP} um per pixel): "
            "kernel ridge learns from the cells of two slides and predicts those of a third, "
            f"{low:.0f} to {high:.0f} cells. Without mixing a cell is of the kind of the tissue "
            "around it, and its look tells nothing more; with it, 30 % of the cells lie anywhere, "
            "with the look and the counts of their kind. Mean Pearson over genes with what was "
            "measured and with the law, and, last, of the law with what was measured, the most "
            "that can be reached; mean and standard deviation over seeds. Gain: beside "
            "the row of the same boxes without outlines, seed by seed. "
            "`python benchmarks/outlines.py`",
            "",
            *summarised(scores),
            "",
            cost_told,
            "",
        ]
    )


def draw(scores: pd.DataFrame) -> None:
    """Draw the correlation with the law, a dot a seed."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(MIXING), figsize=(10, 3.2), layout="constrained")
    for ax, mixing in zip(axes, MIXING, strict=True):
        own = scores[scores["mixing"] == mixing]
        for row, name in enumerate(READ):
            colour = "tab:orange" if 3 in READ[name] else "tab:blue"
            values = own.loc[own["read"] == name, "law"]
            ax.plot(values, np.full(len(values), -row), "o", color=colour, alpha=0.6)
            ax.plot(values.mean(), -row, "|", color="black", markersize=14)
        ax.set(title=f"{mixing:.0%} of cells among others", xlabel="Pearson with the law")
        ax.set_yticks(-np.arange(len(READ)), READ if ax is axes[0] else [""] * len(READ))
    figure.savefig(RESULTS / "outlines.png", dpi=110)


def main() -> None:
    """Measure what is missing, and write table and figure."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    told = cost()
    print(told, flush=True)
    scores = measure(RESULTS / "outlines.csv")
    text = report(scores, told)
    (RESULTS / "outlines.md").write_text(text)
    draw(scores)
    print(text)


if __name__ == "__main__":
    main()
