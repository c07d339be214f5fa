"""Leave-one-section-out on her2st and synthetic tissue: stflow, its ablations and baselines.

Everything that is chosen (genes, penalties, when to stop, how to blend, how wide an interval is)
is chosen on the three training sections of a fold. Scores are those of ``stf.tl.evaluate``, in
log1p of counts per 10,000; ``units.py`` says how much of such scores is depth. Samples of
baselines are their prediction with independent Gaussian residuals, fitted inside. Writes
``results/accuracy.md``, ``.csv`` and ``.png``. With ``--default-only`` the rows of ablations and
baselines, which take most of the time, stay as the last run left them.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from anndata import AnnData
from joint import colours
from spatialdata import SpatialData

import stflow as stf
from stflow import metrics
from stflow._keys import samples, sd
from stflow._units import LABELS, Units
from stflow._widths import DEFAULT_WIDTHS_UM
from stflow.baselines import METHODS
from stflow.slide import Slide, measured_spots

RESULTS = Path(__file__).parent / "results"
N_SAMPLES = 20
UNITS: Units = "cp10k"
ABLATIONS: dict[str, dict[str, Any]] = {
    "no flow": {"flow": False},
    "no frames": {"frames": False},
    **{f"prior {name}": {"prior": name} for name in ("nb", "zero", "gaussian", "empirical")},
}
SECTIONS = {"her2st": ("C2", "C3", "C4", "C5"), "synthetic": ("S1", "S2", "S3", "S4")}
ABOUT = {
    "her2st": "Sections C2 to C5 of one patient, 50 genes; `efficientnet_lite0`, pooled stages, "
    f"tiles of {', '.join(f'{width:g}' for width in DEFAULT_WIDTHS_UM)} um. Defaults of the "
    "network and of its regression were chosen on C2, C3 and C4, in part on all four (the "
    "kernel's and the pooling): every row of stflow is a little kind.",
    "synthetic": "Four slides of 100 spots, 50 genes, hidden = 0.6, embedded by 12 colours.",
}
AMONG = "stflow, a sample beside others"
SCORES = {
    "pearson": "Pearson",
    "crps": "CRPS",
    "coverage_50": "covered by 50 %",
    "coverage_80": "80 %",
    "coverage_90": "90 %",
    **{f"coverage_{level}_samples": f"by samples, {level} %" for level in (50, 80, 90)},
    "gene_correlation_error_mean": "gene-gene correlation, of the mean",
    "gene_correlation_error_samples": "of a sample",
    "morans_i_error_mean": "Moran's I, of the mean",
    "morans_i_error_samples": "of a sample",
    "variance_error_mean": "variance, of the mean",
    "variance_error_samples": "of a sample",
}
Row = dict[str, Any]


def score(table: AnnData, key: str) -> dict[str, float]:
    """Means over genes of what `SCORES` names."""
    attrs = stf.tl.evaluate(table, key, units=UNITS).attrs
    return {name: float(attrs[name]) for name in SCORES}


def among(table: AnnData, key: str) -> dict[str, float]:
    """Measure the errors of single samples when a sample takes the place of the measurement.

    A perfect model's samples are as far from the measured section as from each other.
    """
    drawn, graph = table.obsm[samples(key)], table.obsp["spatial_connectivities"]
    drawn = np.moveaxis(drawn, -1, 0)
    errors = {
        "gene_correlation_error_samples": metrics.gene_correlation_error,
        "morans_i_error_samples": lambda *pair: metrics.morans_i_error(*pair, graph),
        "variance_error_samples": metrics.variance_error,
    }
    nothing = dict.fromkeys(SCORES, np.nan)
    pairs = [(one, np.delete(drawn, i, 0)) for i, one in enumerate(drawn)]
    found = {name: np.nanmean([error(*pair) for pair in pairs]) for name, error in errors.items()}
    return {**nothing, **{name: float(value) for name, value in found.items()}}


def of_model(
    train: dict[str, SpatialData], test: SpatialData, genes: list[str], seed: int, **how: Any
) -> dict[str, dict[str, float]]:
    """Fit ours once, and predict with the default number of steps and with others."""
    told: dict[str, Any] = {"units": UNITS, "show_progress_bar": False}
    model = stf.tl.fit(train, genes=genes, seed=seed, config=how, **told)
    found = {}
    for n_steps in (5,) if how else (5, 1, 20):
        table = stf.tl.predict(
            test["table"],
            model,
            seed=seed,
            n_samples=N_SAMPLES,
            n_steps=n_steps,
            keep_samples=True,
            inplace=False,
            show_progress_bar=False,
        )
        found[f"{n_steps} steps" if n_steps != 5 else ""] = score(table, "stflow")
        if n_steps == 5 and not how:
            found[AMONG] = among(table, "stflow")
    return found


def of_baseline(
    name: str, train: list[Slide], test: Slide, table: AnnData, seed: int
) -> dict[str, float]:
    """Fit a baseline to what measured enough, and score it as if it were a prediction of ours."""
    fitted = METHODS[name]().fit([measured_spots(each, None) for each in train], seed=seed)
    mean, drawn = fitted.predict(test), fitted.sample(test, N_SAMPLES, seed=seed)
    spread = np.broadcast_to(fitted.residual_sd.astype(np.float32), mean.shape)
    table = table.copy()
    for key, values in {name: mean, sd(name): spread}.items():
        table.obsm[key] = pd.DataFrame(values, table.obs_names, list(fitted.genes))
    table.obsm[samples(name)] = np.moveaxis(drawn, 0, -1)
    return score(table, name)


def load(tissue: str) -> dict[str, SpatialData]:
    """All sections of a tissue, embedded."""
    if tissue == "synthetic":
        slides = stf.datasets.synthetic(4, n_spots=100, n_genes=50, image_mpp=8.0, hidden=0.6)
        how: dict[str, Any] = {"encoder": colours, "mpp": 8.0, "tile_px": 28}
    else:
        slides, how = {name: stf.datasets.her2st(name) for name in SECTIONS[tissue]}, {}
    for sdata in slides.values():
        stf.pp.embed(sdata, show_progress_bar=False, **how)
        stf.pp.neighbors(sdata)
    return slides


def run_fold(
    slides: dict[str, SpatialData], held_out: str, seed: int, tissue: str, *, default_only: bool
) -> list[Row]:
    """All methods on one section; ours alone after the first seed."""
    train = {name: sdata for name, sdata in slides.items() if name != held_out}
    test = slides[held_out]
    genes = stf.pp.select_genes(train, n_top_genes=50, units=UNITS)
    ours = of_model(train, test, genes, seed)
    others = seed == 0 and not default_only
    found = {how if how == AMONG else f"stflow {how}".strip(): ours[how] for how in ours}
    for name, how in ABLATIONS.items() if others else ():
        found[f"stflow, {name}"] = of_model(train, test, genes, seed, **how)[""]
    learned = stf.get.slides(train, genes, units=UNITS)
    (unseen,) = stf.get.slides({held_out: test}, genes, units=UNITS)
    for name in METHODS if others else ():
        found[name] = of_baseline(name, learned, unseen, test["table"], seed)
    about = {"tissue": tissue, "units": UNITS, "section": held_out, "seed": seed}
    rows = [{**about, "method": method, **scores} for method, scores in found.items()]
    print(pd.DataFrame(rows).round(3).to_string(), flush=True)
    return rows


def draw(frame: pd.DataFrame) -> None:
    """Pearson by section; errors of the joint, of the mean and of single samples."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = ["stflow", *(name for name in METHODS if name != "mean")]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    frame = frame[frame["tissue"] == "her2st"]
    by_section = frame.groupby(["method", "section"])["pearson"].mean().unstack()
    for name in shown:
        ours = {"color": "black", "lw": 2.5, "zorder": 9} if name == "stflow" else {"alpha": 0.8}
        axes[0].plot(by_section.columns, by_section.loc[name], marker="o", label=name, **ours)
    axes[0].set(xlabel="section left out", ylabel="mean Pearson over 50 genes")
    axes[0].legend(frameon=False, fontsize=8)
    kinds = ("gene_correlation", "morans_i", "variance")
    bars = {"stflow, a sample": ("stflow", "samples"), "stflow, the mean": ("stflow", "mean")}
    bars["kernel ridge + noise, a sample"] = ("kernel_ridge", "samples")
    bars["kernel ridge, the mean"] = ("kernel_ridge", "mean")
    means = frame.groupby("method").mean(numeric_only=True)
    for i, (label, (method, of)) in enumerate(bars.items()):
        heights = [means.loc[method, f"{kind}_error_{of}"] for kind in kinds]
        axes[1].bar(np.arange(3) + 0.2 * i - 0.3, heights, 0.18, label=label)
    axes[1].set_xticks(range(3), ["gene-gene correlation", "Moran's I", "variance"])
    axes[1].set_ylabel("error beside the measured one")
    axes[1].legend(frameon=False, fontsize=8)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "accuracy.png", dpi=120)


def as_table(frame: pd.DataFrame, heading: str) -> list[str]:
    """Write a Markdown table of numbers to three digits."""
    rows = [
        [str(name), *("" if np.isnan(value) else f"{value:.3f}" for value in row)]
        for name, row in frame.T.items()
    ]
    lines = [[heading, *map(str, frame.columns)], ["---"] * (len(frame.columns) + 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def report(frame: pd.DataFrame, made_by: str) -> str:
    """All tables."""
    lines = [
        "# Leave one section out",
        "",
        f"Everything at its default, in {LABELS[UNITS]}; {frame['seed'].nunique()} seeds of stflow "
        "on her2st, one of its ablations, of the baselines and of synthetic tissue; "
        f"{made_by}.",
    ]
    for tissue, part in frame.groupby("tissue", sort=False):
        lines += ["", f"## {tissue}", "", ABOUT[str(tissue)], "", *tables(part)]
    return "\n".join([*lines, ""])


def tables(frame: pd.DataFrame) -> list[str]:
    """Tables of one tissue."""
    order = list(dict.fromkeys(frame["method"]))
    by_section = frame.groupby(["method", "section"])["pearson"].mean().unstack().loc[order]
    whole = frame.groupby("method")["section"].nunique() == frame["section"].nunique()
    by_section["mean"] = by_section.mean(axis=1).where(whole)
    over_seeds = frame.groupby(["method", "seed"])["pearson"].mean().groupby("method").std()
    by_section["sd over seeds"] = over_seeds
    means = frame.groupby("method")[list(SCORES)].mean().rename(columns=SCORES)
    means = means.loc[[name for name in order if whole[name]]]
    return [
        "Mean Pearson over genes:",
        "",
        *as_table(by_section, "method"),
        "",
        "All scores, means over sections and seeds, of methods run on all sections. CRPS: smaller "
        "is better. Covered: share of spots within mean +- z sd, and within the samples' own "
        "intervals. Errors: root mean square over gene pairs (correlation), mean absolute over "
        "genes (Moran's I), mean relative over genes (variance), each beside the measured one. In "
        f"the row `{AMONG}` a sample takes the place of what was measured: samples that differ as "
        "much from each other cannot be much nearer to it.",
        "",
        *as_table(means, "method"),
    ]


def last_run() -> pd.DataFrame:
    """Rows of the last run, if they are in the units of this one."""
    old = pd.read_csv(RESULTS / "accuracy.csv")
    if "units" not in old or set(old["units"]) != {UNITS}:
        raise SystemExit(f"The last run is not in units {UNITS!r}; leave out --default-only.")
    return old


def beside_others(rows: list[Row], old: pd.DataFrame) -> pd.DataFrame:
    """Put new rows of the default beside ablations and baselines of the last run, in its order."""
    kept = old[~old["method"].isin([row["method"] for row in rows])]
    frame = pd.concat([pd.DataFrame(rows), kept], ignore_index=True)
    ranks = {name: i for i, name in enumerate([*SECTIONS, *dict.fromkeys(old["method"])])}
    by = ["tissue", "method"]
    return frame.sort_values(by, key=lambda names: names.map(ranks), kind="stable")


def main() -> None:
    """Run all folds and seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--default-only", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    old = last_run() if args.default_only else None
    rows: list[Row] = []
    for tissue, sections in SECTIONS.items():
        slides = load(tissue)
        for seed in range(args.seeds if tissue == "her2st" else 1):
            for name in sections:
                rows += run_fold(slides, name, seed, tissue, default_only=args.default_only)
    RESULTS.mkdir(exist_ok=True)
    frame = pd.DataFrame(rows) if old is None else beside_others(rows, old)
    frame.to_csv(RESULTS / "accuracy.csv", index=False, float_format="%.5f")
    draw(frame)
    made_by = f"`python benchmarks/accuracy.py --seeds {args.seeds}`"
    if args.default_only:
        made_by += " with `--default-only`: ablations and baselines are of an earlier run"
    (RESULTS / "accuracy.md").write_text(report(frame, made_by))
    print(report(frame, made_by))


if __name__ == "__main__":
    main()
