"""What measuring a few spots of a slide tells of the others, on her2st and on synthetic tissue.

Beside the same model without them: smoothing the measured values alone, and kriging of the
model's residuals (a Gaussian process fitted to the measured spots by maximum likelihood). On
synthetic tissue also the conditional mean of the law that made it, by elliptical slice sampling
(Murray, Adams & MacKay 2010). All is in log1p of counts, as the law draws them. Writes
``results/observed.md`` and ``results/observed.png``.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from anndata import AnnData
from joint import colours
from scipy.spatial.distance import cdist
from scipy.stats import nbinom
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import stflow as stf
from stflow._units import Units
from stflow.datasets._law import _LOG_MEAN_RANGE, _PROGRAMME_SIZE, Law
from stflow.datasets._tissue import neighbour_mean
from stflow.metrics import pearson

RESULTS = Path(__file__).parent / "results"
SECTIONS = ("C2", "C3", "C4", "C5")
SHARES = (0.05, 0.2)
LAW = "the law itself"
UNITS: Units = "counts"
Row = dict[str, Any]


def predicted(table: AnnData, model: stf.STFlow, seen: np.ndarray | None) -> np.ndarray:
    """Mean prediction, given the spots that were seen."""
    how: dict[str, Any] = {"inplace": False, "show_progress_bar": False}
    return stf.tl.predict(table, model, observed=seen, **how).obsm["stflow"].to_numpy()


def smoothed(places: np.ndarray, seen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gaussian average of the measured values; its width by leaving each measured spot out."""
    away = cdist(places, places[seen])
    nearest = np.sort(away[seen], axis=1)[:, 1].mean()
    best, error = None, np.inf
    for width in nearest * np.array([0.5, 1, 2, 4, 100]):
        weights = np.exp(-((away / width) ** 2) / 2) + 1e-12
        inner = weights[seen] * (1 - np.eye(seen.sum()))
        left_out = inner @ values / inner.sum(1, keepdims=True)
        if ((left_out - values) ** 2).mean() < error:
            error = ((left_out - values) ** 2).mean()
            best = weights @ values / weights.sum(1, keepdims=True)
    return best


def kriged(places: np.ndarray, seen: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Residuals everywhere from those of the measured spots, all genes with one covariance."""
    scale = away.std(0) + 1e-6
    unit = np.median(np.sort(cdist(places, places), axis=1)[:, 1])
    kernel = ConstantKernel(0.2) * RBF(4.0, (1.0, 1e3)) + WhiteKernel(0.8)
    process = GaussianProcessRegressor(kernel, random_state=0).fit(
        places[seen] / unit, away / scale
    )
    return process.predict(places / unit) * scale


def conditional_mean(table: AnnData, seen: np.ndarray, n_draws: int = 4000) -> np.ndarray:
    """Compute what the law expects given the image and the measured spots, log1p counts."""
    info, shares = table.uns["synthetic"], table.obsm["domain_shares"]
    law = Law(**{name: info[name] for name in Law.__slots__})
    known = replace(law, hidden=0.0)
    centres = table.obsm["spatial"] * info["image_mpp"] / info["pitch_um"]
    log_mean = np.log(law.mean(shares, neighbour_mean(centres, shares)))
    kernel = np.exp(-cdist(centres, centres, "sqeuclidean") / 2 / _PROGRAMME_SIZE**2)
    root = np.linalg.cholesky(kernel + 1e-6 * np.eye(len(kernel)))
    counts, rng = table.X.toarray()[seen], np.random.default_rng(0)

    def means(fields: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(log_mean + law.hidden * fields @ law.loadings, *_LOG_MEAN_RANGE))

    def likelihood(fields: np.ndarray) -> float:
        success = law.dispersion / (law.dispersion + means(fields)[seen])
        chance = (1 - law.zero_inflation) * nbinom.pmf(counts, law.dispersion, success)
        return float(np.log(chance + law.zero_inflation * (counts == 0)).sum())

    def draw() -> np.ndarray:
        return root @ rng.standard_normal((len(root), len(law.loadings)))

    fields, total, kept = draw(), 0.0, 0
    now = likelihood(fields)
    for step in range(n_draws):
        other, floor = draw(), now + np.log(rng.random())
        angle = rng.uniform(0, 2 * np.pi)
        low, high = angle - 2 * np.pi, angle
        while True:
            moved = fields * np.cos(angle) + other * np.sin(angle)
            then = likelihood(moved)
            if then > floor:
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = rng.uniform(low, high)
        fields, now = moved, then
        if step >= n_draws // 4 and step % 10 == 0:
            total, kept = total + known.expected_log1p(means(fields)), kept + 1
    return total / kept


def compare(name: str, table: AnnData, model: stf.STFlow, share: float, seed: int) -> list[Row]:
    """All ways to use the measured spots, scored on the others."""
    truth = np.log1p(table[:, list(model.genes)].X.toarray())
    seen = np.zeros(len(truth), dtype=bool)
    rng = np.random.default_rng(seed)
    seen[rng.choice(len(truth), round(share * len(truth)), replace=False)] = True
    places, without = table.obsm["spatial"], predicted(table, model, None)
    found = {
        "model without them": without,
        "smoothing them alone": smoothed(places, seen, truth[seen]),
        "model + kriging": without + kriged(places, seen, (truth - without)[seen]),
        "stflow, observed=": predicted(table, model, seen),
    }
    if "synthetic" in table.uns:
        found[LAW] = conditional_mean(table, seen)
    rest = ~seen
    return [
        {
            "slide": name,
            "measured": share,
            "seed": seed,
            "method": method,
            "pearson": float(np.nanmean(pearson(truth[rest], values[rest]))),
            "rmse": float(np.sqrt(((truth - values)[rest] ** 2).mean())),
        }
        for method, values in found.items()
    ]


def her2st(n_seeds: int) -> list[Row]:
    """Leave one section out, and measure some of its spots."""
    slides = {name: stf.datasets.her2st(name) for name in SECTIONS}
    for sdata in slides.values():
        stf.pp.embed(sdata, widths_um=112, show_progress_bar=False)
        stf.pp.neighbors(sdata)
    rows: list[Row] = []
    for held_out in SECTIONS:
        train = {name: sdata for name, sdata in slides.items() if name != held_out}
        genes = stf.pp.select_genes(train, n_top_genes=50, units=UNITS)
        model = stf.tl.fit(train, genes=genes, units=UNITS, show_progress_bar=False)
        table = slides[held_out]["table"]
        for share in SHARES:
            for seed in range(n_seeds):
                rows += compare("her2st", table, model, share, seed)
    return rows


def synthetic(n_seeds: int) -> list[Row]:
    """Predict a slide whose neighbours and genes are alike beyond what the image shows."""
    slides = stf.datasets.synthetic(4, n_spots=500, n_genes=30, image_mpp=8.0, hidden=0.6)
    for sdata in slides.values():
        stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False)
        stf.pp.neighbors(sdata)
    table = slides.pop("S4")["table"]
    genes = list(table.var_names)
    model = stf.tl.fit(slides, genes=genes, units=UNITS, show_progress_bar=False)
    rows: list[Row] = []
    for share in SHARES:
        for seed in range(n_seeds):
            rows += compare("synthetic", table, model, share, seed)
    return rows


def report(frame: pd.DataFrame, command: str) -> str:
    """RMSE and Pearson on the spots that were not measured."""
    means = frame.groupby(["slide", "measured", "method"], sort=False)[["rmse", "pearson"]].mean()
    lines = [
        "# What measured spots tell of the others",
        "",
        "Scores on the spots that were not measured, log1p counts; her2st: leave one of C2 to C5 "
        "out, 50 genes; synthetic: 500 spots, 30 genes, `hidden=0.6`. Means over choices of the "
        f"measured spots; `{command}`.",
        "",
        "| tissue | measured | method | RMSE | Pearson |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (slide, share, method), row in means.iterrows():
        scores = f"{row['rmse']:.3f} | {row['pearson']:.3f}"
        lines.append(f"| {slide} | {share:.0%} | {method} | {scores} |")
    return "\n".join([*lines, ""])


def draw_figure(frame: pd.DataFrame) -> None:
    """RMSE of each method, a panel for each tissue."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for ax, (slide, part) in zip(axes, frame.groupby("slide"), strict=True):
        table = part.groupby(["method", "measured"], sort=False)["rmse"].mean().unstack()
        for name, row in table.iterrows():
            ax.plot([f"{share:.0%}" for share in row.index], row, marker="o", label=name)
        ax.set(title=slide, xlabel="spots measured", ylabel="RMSE on the others, log1p counts")
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.2)
    handles = axes[-1].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(RESULTS / "observed.png", dpi=120)


def main() -> None:
    """Measure, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    frame = pd.DataFrame(synthetic(args.seeds) + her2st(args.seeds))
    RESULTS.mkdir(exist_ok=True)
    draw_figure(frame)
    text = report(frame, f"python benchmarks/observed.py --seeds {args.seeds}")
    (RESULTS / "observed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
