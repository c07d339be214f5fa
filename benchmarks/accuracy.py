"""Leave-one-section-out on her2st: stflow beside linear and kernel regressions, one embedding.

Everything that is chosen (genes, penalties, when to stop, how to blend) is chosen on the three
training sections of a fold. Writes ``results/accuracy.md`` and ``results/accuracy.png``.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spatialdata import SpatialData

import stflow as stf
from stflow.metrics import pearson
from stflow.model._features import neighbour_mean

SECTIONS = ("C2", "C3", "C4", "C5")
MPP = (0.5, 1.0)
RESULTS = Path(__file__).parent / "results"


def measured(sdata: SpatialData, genes: list[str]) -> np.ndarray:
    """Log1p counts, shape (N, G)."""
    return np.log1p(sdata["table"][:, genes].X.toarray())


def own(sdata: SpatialData) -> np.ndarray:
    """Embedding of each spot."""
    return sdata["table"].obsm["X_embedding"]


def smooth(values: np.ndarray, sdata: SpatialData) -> np.ndarray:
    """Average of a spot and the mean of its neighbours, in equal parts."""
    return (values + neighbour_mean(values, sdata["table"].obsp["spatial_connectivities"])) / 2


def ridge(train: list[SpatialData], test: SpatialData, genes: list[str]) -> np.ndarray:
    """Ridge on 64 components, its penalty by leave-one-out on the training spots."""
    model = make_pipeline(StandardScaler(), PCA(64, random_state=0), RidgeCV(np.logspace(0, 5, 11)))
    model.fit(
        np.concatenate([own(each) for each in train]),
        np.concatenate([measured(each, genes) for each in train]),
    )
    return model.predict(own(test))


def run_fold(slides: dict[str, SpatialData], held_out: str, seed: int) -> dict[str, float]:
    """Mean Pearson over the panel of each method on one section."""
    train = {name: sdata for name, sdata in slides.items() if name != held_out}
    test = slides[held_out]
    genes = stf.pp.select_genes(train, n_top_genes=50)
    linear = ridge(list(train.values()), test, genes)
    model = stf.tl.fit(train, genes=genes, seed=seed, show_progress_bar=False)
    blended = stf.tl.predict(test, model, seed=seed, inplace=False).obsm["stflow"].to_numpy()
    features = model.network.features(own(test), test["table"].obsp["spatial_connectivities"])
    predictions = {
        "ridge": linear,
        "ridge, smoothed over neighbours": smooth(linear, test),
        "kernel ridge with neighbours (our regression alone)": model.network.regression(
            features
        ).numpy(),
        "stflow": blended,
    }
    truth = measured(test, genes)
    scores = {name: float(np.nanmean(pearson(truth, p))) for name, p in predictions.items()}
    return scores | {"share of the flow": float(model.network.blend)}


def draw(table: pd.DataFrame) -> None:
    """One line a method over the sections."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    for name in table.columns.drop("share of the flow"):
        ax.plot(table.index, table[name], marker="o", label=name)
    ax.set(xlabel="section left out", ylabel="mean Pearson over 50 genes")
    ax.legend(frameon=False, fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "accuracy.png", dpi=120)


def as_markdown(frame: pd.DataFrame, seeds: int) -> str:
    """Means over seeds, one row a section."""
    table = frame.groupby("section").mean().drop(columns="seed")
    table = pd.concat([table, table.mean().to_frame("mean").T])
    spread = frame.groupby("section")["stflow"].std().mean()
    rows = [[name, *(f"{value:.3f}" for value in row)] for name, row in table.T.items()]
    cells = [["section left out", *table.columns], ["---"] * (len(table.columns) + 1), *rows]
    return "\n".join(
        [
            "# Mean Pearson over 50 genes, leave-one-section-out on her2st C2 to C5",
            "",
            f"Embedding `efficientnet_lite0`, pooled stages, mpp {MPP}; seeds: {seeds}"
            + (f" (sd of stflow over seeds {spread:.4f})" if seeds > 1 else "")
            + f"; `python benchmarks/accuracy.py --seeds {seeds}`.",
            "All sections are of one patient. The network's settings and the blend were chosen "
            "on C2, C3 and C4;",
            "the kernel's and the pooling come from earlier experiments that had seen all four, so "
            "every row is a little kind.",
            "",
            *("| " + " | ".join(row) + " |" for row in cells),
            "",
        ]
    )


def main() -> None:
    """Run all folds and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="fits for each fold")
    seeds = parser.parse_args().seeds
    warnings.filterwarnings("ignore")
    slides = {name: stf.datasets.her2st(name) for name in SECTIONS}
    for sdata in slides.values():
        stf.pp.embed(sdata, mpp=MPP)
        stf.pp.neighbors(sdata)
    rows = [
        {"section": name, "seed": seed, **run_fold(slides, name, seed)}
        for name in SECTIONS
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "accuracy.md").write_text(as_markdown(frame, seeds))
    draw(frame.groupby("section").mean().drop(columns="seed"))
    print(as_markdown(frame, seeds))


if __name__ == "__main__":
    main()
