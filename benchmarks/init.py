"""Whether it helps to start from a model, where a new patient has one small slide.

A model of other patients, the small slide alone, the small slide from that model, and all slides
together, each scored on another slide of the new patient, beside ridge regressions on the same
slides. Synthetic tissue whose patients differ in depth, in shifts of genes and in stain; and
her2st, from sections C2 to C5 to either half of A1, scored on the other half. Log1p of counts per
10,000. Writes ``results/init.md``, ``.csv`` and ``.png``; what is in ``.csv`` is not computed
again, delete it to start anew.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from spatialdata import SpatialData

import stflow as stf
from stflow.metrics import pearson
from stflow.slide import along_longer_axis

RESULTS = Path(__file__).parent / "results"
SEEDS = (0, 1, 2)
SPOTS, SMALL = 300, 150
KEYS = ["tissue", "seed", "method"]
METHODS = {
    "others": "model of the others",
    "ridge": "ridge, small slide",
    "alone": "small slide alone",
    "init": "small slide from the model",
    "ridge_all": "ridge, all slides",
    "all": "all slides together",
}
Case = tuple[dict[str, SpatialData], SpatialData, SpatialData, dict[str, str]]


def synthetic(seed: int) -> Case:
    """Four slides of four patients, and two of a fifth."""
    how: dict[str, Any] = {"n_spots": SPOTS, "n_patients": 5, "seed": seed}
    made = stf.datasets.synthetic(10, **how)
    small = stf.datasets.synthetic(5, **{**how, "n_spots": SMALL})["S5"]
    others = {name: made[name] for name in ("S1", "S2", "S3", "S4")}
    return others, small, made["S10"], {f"S{i}": f"P{i}" for i in range(1, 6)}


def her2st(seed: int) -> Case:
    """Four sections of patient C, and the halves of one of patient A; images of 3.2 um a pixel."""
    root = Path(os.environ["STFLOW_DATA_DIR"]) / "coarse" / "her2st"
    others = {name: stf.datasets.her2st(name, root=root) for name in ("C2", "C3", "C4", "C5")}
    whole = stf.datasets.her2st("A1", root=root)
    order = along_longer_axis(whole["table"].obsm["spatial"])
    halves = [np.sort(rows) for rows in np.array_split(order, 2)]
    small, test = (with_rows(whole, halves[i]) for i in (seed, 1 - seed))
    return others, small, test, {**dict.fromkeys(others, "C"), "S5": "A"}


def with_rows(sdata: SpatialData, rows: np.ndarray) -> SpatialData:
    """Keep some spots."""
    parts = {"images": {"he": sdata["he"]}, "shapes": {"spots": sdata["spots"]}}
    return SpatialData(**parts, tables={"table": sdata["table"][rows].copy()}, attrs=sdata.attrs)


TISSUES = {"synthetic": (synthetic, SEEDS), "her2st": (her2st, SEEDS[:2])}


def predictions(case: Case, seed: int, device: str) -> Iterator[tuple[str, float, list[float]]]:
    """Yield method, CPU seconds of its fit, and the correlation of each gene."""
    others, small, test, groups = case
    for sdata in (*others.values(), small, test):
        stf.pp.embed(sdata, show_progress_bar=False)
        stf.pp.neighbors(sdata)
    every = {**others, "S5": small}
    measured = set(test["table"].var_names)
    n_top_genes = min(60, *(sdata["table"].n_vars for sdata in every.values()))
    genes = [g for g in stf.pp.select_genes(every, n_top_genes) if g in measured][:50]
    slides = stf.get.slides(every, genes)
    truth = stf.get.slides({"test": test}, genes)[0]
    how: dict[str, Any] = {"seed": seed, "device": device, "show_progress_bar": False}

    def fit(data: dict[str, SpatialData], **further: Any) -> stf.STFlow:
        patients = {name: groups[name] for name in data}
        return stf.tl.fit(data, genes, groups=patients, **how, **further)

    def score(predictor: Any, started: float) -> tuple[float, list[float]]:
        took = time.process_time() - started
        found = predictor.predict(truth)
        mean = found if isinstance(found, np.ndarray) else found.mean
        return took, list(pearson(truth.expression, mean))

    known = None
    for method in METHODS:
        started = time.process_time()
        if method in ("ridge", "ridge_all"):
            found: Any = stf.baselines.Ridge().fit(slides[-1:] if method == "ridge" else slides)
        elif method == "others":
            found = known = fit(others)
        else:
            data = every if method == "all" else {"S5": small}
            found = fit(data, **({"init": known} if method == "init" else {}))
        yield method, *score(found, started)


def main() -> None:
    """Compute what is missing, and write all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    warnings.simplefilter("ignore", UserWarning)
    file = RESULTS / "init.csv"
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    done = {(row["tissue"], row["seed"]) for row in rows}
    cases = [(seed, tissue) for tissue in TISSUES for seed in TISSUES[tissue][1]]
    for seed, tissue in sorted(cases):
        if (tissue, seed) not in done:
            make = TISSUES[tissue][0]
            new = [
                {"tissue": tissue, "seed": seed, "method": method, "cpu_s": took, "pearson": score}
                for method, took, scores in predictions(make(seed), seed, device)
                for score in [float(np.nanmean(scores))]
            ]
            rows += new
            pd.DataFrame(rows).round(4).to_csv(file, index=False)
            print(pd.DataFrame(new).to_string(index=False), flush=True)
            write(pd.DataFrame(rows))


def write(frame: pd.DataFrame) -> None:
    """Write the table, and draw it."""
    names = list(METHODS)
    by_seed = frame.pivot(index="method", columns=["tissue", "seed"], values="pearson").loc[names]
    took = frame.groupby(["method", "tissue"])["cpu_s"].mean().unstack().loc[names]
    head = [f"{tissue}, seed {seed}" for tissue, seed in by_seed.columns]
    head += [f"CPU s, {tissue}" for tissue in took.columns]
    lines = [
        "# Starting from a model",
        "",
        "Mean Pearson correlation over 50 genes on another slide of a new patient who has one",
        f"slide of {SMALL} spots of synthetic tissue to learn from, or on the other half of",
        "section A1 of her2st, of which one half is learned from (the seed says which). The model",
        "is of four slides of others. `python benchmarks/init.py`, defaults of `fit`.",
        "",
        "| learned from | " + " | ".join(head) + " |",
        "| --- " * (len(head) + 1) + "|",
    ]
    for method, label in METHODS.items():
        cells = [f"{x:.3f}" for x in by_seed.loc[method]] + [f"{x:,.0f}" for x in took.loc[method]]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    (RESULTS / "init.md").write_text("\n".join([*lines, ""]))
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = list(took.columns)
    how: dict[str, Any] = {"sharey": True, "squeeze": False, "layout": "constrained"}
    fig, axes = plt.subplots(1, len(shown), figsize=(10, 3.2), **how)
    for ax, tissue in zip(axes[0], shown, strict=True):
        for _, values in by_seed[tissue].items():
            ax.plot(values, range(len(names)), "o", color="tab:blue", alpha=0.7)
        ax.set(title=tissue, xlabel="mean Pearson correlation", yticks=range(len(names)))
        ax.set_yticklabels(METHODS.values())
        ax.grid(axis="x", alpha=0.3)
    axes[0, 0].invert_yaxis()
    fig.savefig(RESULTS / "init.png", dpi=120)


if __name__ == "__main__":
    main()
