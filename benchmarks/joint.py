"""Whether samples are right jointly, on synthetic tissue whose law given the image is known.

Neighbours and genes are alike beyond what the image shows (``hidden``), or not, as a control.
The law itself, which draws counts anew, has the best expected score; baselines draw independent
Gaussian residuals, fitted inside. Samples of ours, shuffled at each spot and gene, keep every
margin and lose what makes them alike. All is in log1p of counts, as the law draws them. Writes
``results/joint.md`` and ``results/joint.png``.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from spatialdata import SpatialData

import stflow as stf
from stflow import metrics
from stflow.baselines import METHODS

RESULTS = Path(__file__).parent / "results"
N_GENES, N_SAMPLES, N_TRAINING, N_TEST = 30, 32, 4, 3
BASELINES = ("kernel_ridge", "smoothed_ridge", "ridge")
LAW, APART = "the law itself", "stflow, 20 steps, samples shuffled"
Row = dict[str, Any]


def colours(tiles: torch.Tensor) -> torch.Tensor:
    """Mean and sd of each channel over the tile and over its middle, which is the spot."""
    edge = tiles.shape[-1] // 4
    parts = [part.flatten(2) for part in (tiles, tiles[..., edge:-edge, edge:-edge])]
    return torch.cat([f(-1) for part in parts for f in (part.mean, part.std)], dim=1)


def make(n_spots: int, hidden: float) -> dict[str, SpatialData]:
    """Slides to train on, and others to score."""
    slides = stf.datasets.synthetic(
        N_TRAINING + N_TEST, n_spots=n_spots, n_genes=N_GENES, image_mpp=8.0, hidden=hidden
    )
    for sdata in slides.values():
        stf.pp.embed(
            sdata, encoder=colours, mpp=8.0, tile_px=28, batch_size=256, show_progress_bar=False
        )
        stf.pp.neighbors(sdata)
    return slides


def score(table: AnnData, mean: np.ndarray, samples: np.ndarray) -> dict[str, float]:
    """Scores of a mean (N, G) and of samples (S, N, G) beside what was measured."""
    measured = np.log1p(table.X.toarray())
    graph = sp.triu(table.obsp["spatial_connectivities"]).tocoo()
    neighbours = np.column_stack([graph.row, graph.col])
    genes = np.column_stack(np.triu_indices(measured.shape[1], 1))
    by_gene = np.swapaxes(samples, 1, 2)
    bands = [
        metrics.coverage(measured, *metrics.central_interval(samples, level=level)).mean()
        for level in (0.5, 0.8, 0.9)
    ]
    found = {
        "Pearson": metrics.pearson(measured, mean).mean(),
        "RMSE": np.sqrt(((measured - mean) ** 2).mean()),
        "CRPS": metrics.crps(measured, samples).mean(),
        "energy, genes of a spot": metrics.energy_score(measured, samples).mean(),
        "energy, spots of a gene": metrics.energy_score(measured.T, by_gene).mean(),
        "variogram, genes": metrics.variogram_score(measured, samples, genes).mean(),
        "variogram, neighbours": metrics.variogram_score(measured.T, by_gene, neighbours).mean(),
        **dict(zip(("covered by 50 %", "80 %", "90 %"), bands, strict=True)),
    }
    return {name: float(value) for name, value in found.items()}


def of_law(sdata: SpatialData) -> dict[str, float]:
    """Score the law that made a slide."""
    drawn = np.log1p(stf.datasets.redraw(sdata, N_SAMPLES)).astype(np.float32)
    return score(sdata["table"], np.asarray(sdata["table"].layers["expected"]), drawn)


def of_model(table: AnnData, model: stf.STFlow, seed: int) -> dict[str, dict[str, float]]:
    """Score ours on a slide, with the default number of steps and with more."""
    found, rng = {}, np.random.default_rng(seed)
    for n_steps in (5, 20):
        done = stf.tl.predict(
            table,
            model,
            seed=seed,
            n_samples=N_SAMPLES,
            n_steps=n_steps,
            keep_samples=True,
            inplace=False,
            show_progress_bar=False,
        )
        mean = done.obsm["stflow"].to_numpy()
        drawn = np.moveaxis(done.obsm["stflow_samples"], -1, 0)
        scores = score(table, mean, drawn)
        found[f"stflow, {n_steps} steps"] = {
            **scores,
            "share of the flow": float(model.ensemble.blend),
        }
    found[APART] = score(table, mean, rng.permuted(drawn, axis=0))
    return found


def compare(n_spots: int, hidden: float, n_seeds: int) -> list[Row]:
    """All methods, trained on the first slides and scored on the others."""
    slides = make(n_spots, hidden)
    names, held_out = list(slides)[:N_TRAINING], list(slides)[N_TRAINING:]
    genes = list(slides[names[0]]["table"].var_names)
    read = stf.get.slides(slides, genes, units="counts")
    arrays = {slide.name: slide for slide in read}
    found = {(LAW, name, 0): of_law(slides[name]) for name in held_out}
    for method in BASELINES:
        fitted = METHODS[method]().fit([arrays[name] for name in names])
        for name in held_out:
            drawn = fitted.sample(arrays[name], N_SAMPLES)
            mean = fitted.predict(arrays[name])
            found[method, name, 0] = score(slides[name]["table"], mean, drawn)
    for seed in range(n_seeds):
        train = {name: slides[name] for name in names}
        how: dict[str, Any] = {"units": "counts", "seed": seed, "show_progress_bar": False}
        model = stf.tl.fit(train, genes=genes, **how)
        for name in held_out:
            for method, scores in of_model(slides[name]["table"], model, seed).items():
                found[method, name, seed] = scores
    about = {"spots": N_TRAINING * n_spots, "hidden": hidden}
    rows = [
        {**about, "method": method, "slide": name, "seed": seed, **scores}
        for (method, name, seed), scores in found.items()
    ]
    print(pd.DataFrame(rows).round(4).to_string(), flush=True)
    return rows


def report(frame: pd.DataFrame, command: str) -> str:
    """One table for each tissue."""
    lines = [
        "# Samples beside the law that made the tissue",
        "",
        f"{N_TRAINING} slides to train on, {N_TEST} more to score; {N_GENES} genes, {N_SAMPLES} "
        "samples, means over slides and seeds; "
        f"`{command}`. Smaller is better but for Pearson; a sample covers what it claims when "
        "the last columns are .5, .8 and .9. `hidden` is the strength of what makes neighbours "
        "and genes alike beyond the image; 0 is the control.",
    ]
    for (spots, hidden), part in frame.groupby(["spots", "hidden"]):
        means = (
            part.drop(columns=["spots", "hidden", "slide", "seed"])
            .groupby("method", sort=False)
            .mean()
        )
        header = ["method", *means.columns]
        rows = [[n, *(f"{v:.3f}" if v == v else "" for v in row)] for n, row in means.T.items()]
        lines += ["", f"## {spots:,} training spots, hidden = {hidden:g}", ""]
        lines += ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join([*lines, ""])


def draw(frame: pd.DataFrame) -> None:
    """How far each method is from the law, as a share of the law's score."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scores = [name for name in frame if name.startswith(("CRPS", "energy", "variogram"))]
    panels = list(frame.groupby(["hidden", "spots"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 3.8), layout="constrained", sharey=True
    )
    for ax, ((hidden, spots), part) in zip(np.atleast_1d(axes), panels, strict=True):
        means = part.groupby("method", sort=False)[scores].mean()
        excess = 100 * (means / means.loc[LAW] - 1)
        shown = [name for name in excess.index if name not in (LAW, "ridge", "stflow, 5 steps")]
        for i, name in enumerate(shown):
            ax.bar(np.arange(len(scores)) + 0.2 * i - 0.3, excess.loc[name], 0.18, label=name)
        ax.set_xticks(
            range(len(scores)),
            [s.replace(", ", "\n").replace(" of a ", "\nof a ") for s in scores],
            fontsize=8,
        )
        ax.set_title(f"{spots:,} training spots, hidden = {hidden:g}", fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("worse than the law itself, %")
    handles = first.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(RESULTS / "joint.png", dpi=120)


def main() -> None:
    """Measure, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, nargs="+", default=[500])
    parser.add_argument("--hidden", type=float, nargs="+", default=[0.6, 0.0])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows: list[Row] = []
    for n_spots in args.spots:
        for hidden in args.hidden:
            rows += compare(n_spots, hidden, args.seeds)
    frame = pd.DataFrame(rows)
    RESULTS.mkdir(exist_ok=True)
    sizes = " ".join(map(str, args.spots))
    strengths = " ".join(map(str, args.hidden))
    command = (
        f"python benchmarks/joint.py --spots {sizes} --hidden {strengths} --seeds {args.seeds}"
    )
    (RESULTS / "joint.md").write_text(report(frame, command))
    draw(frame)
    print(report(frame, command))


if __name__ == "__main__":
    main()
