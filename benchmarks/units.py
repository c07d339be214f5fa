"""Expression or depth: leave-one-section-out on her2st in both units, with depth and ceiling.

``stf.tl.cross_validate`` with its defaults, in counts per 10,000 and in raw counts. Everything
that is chosen is chosen on the three training sections of a fold. Writes ``results/units.md``,
``.csv`` and ``.png``; a folder named by ``--resume`` lets a run go on where it was cut off.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from spatialdata import SpatialData

import stflow as stf
from stflow._widths import DEFAULT_WIDTHS_UM

RESULTS = Path(__file__).parent / "results"
SECTIONS = ("C2", "C3", "C4", "C5")
METHODS = ("stflow", "reduced_rank", "kernel_ridge", "smoothed_ridge", "ridge")
RUNS: dict[str, dict[str, Any]] = {
    "cp10k": {"units": "cp10k"},
    "counts": {"units": "counts", "min_counts": 0},
    "counts, 112 um alone": {"units": "counts", "min_counts": 0},
}
COLUMNS = {
    "pearson": "Pearson",
    "partial": "given depth",
    "spearman": "Spearman",
    "rmse": "RMSE",
    "crps": "CRPS",
    "gene_structure": "genes (GSC)",
    "spot_structure": "spots (SSC)",
}


def load(widths_um: tuple[float, ...]) -> dict[str, SpatialData]:
    """All sections, embedded at some widths."""
    slides = {name: stf.datasets.her2st(name) for name in SECTIONS}
    for sdata in slides.values():
        stf.pp.embed(sdata, widths_um=widths_um, show_progress_bar=False)
        stf.pp.neighbors(sdata)
    return slides


def run(name: str, methods: list[str], resume: Path | None) -> pd.DataFrame:
    """Cross-validate, and average over the genes of each fold."""
    widths = DEFAULT_WIDTHS_UM[:1] if "alone" in name else DEFAULT_WIDTHS_UM
    folder = None if resume is None else resume / name.replace(" ", "_")
    table = stf.tl.cross_validate(
        load(widths), methods=methods, resume=folder, show_progress_bar=False, **RUNS[name]
    )
    scores = table.groupby(["method", "fold"]).mean(numeric_only=True)
    structure = pd.DataFrame(table.attrs["structure"]).set_index(["method", "fold"])
    return scores.join(structure).assign(run=name).reset_index()


def to_markdown(frame: pd.DataFrame) -> str:
    """A table for each run: methods, with depth and ceiling below."""
    parts = []
    for name, part in frame.groupby("run", sort=False):
        means = part.groupby("method", sort=False).mean(numeric_only=True)
        by_fold = part.pivot(index="method", columns="fold", values="pearson").loc[means.index]
        header = ["method", *by_fold.columns, *COLUMNS.values()]
        rows = [
            [method, *(f"{x:.3f}" for x in by_fold.loc[method])]
            + [f"{means.loc[method, column]:.3f}" for column in COLUMNS]
            for method in means.index
        ]
        for label, column in (("depth alone", "pearson_depth"), ("ceiling", "ceiling")):
            each = part.drop_duplicates("fold").set_index("fold")[column]
            blank = [""] * (len(COLUMNS) - 1)
            rows.append(
                [label, *(f"{each[f]:.3f}" for f in by_fold.columns), f"{each.mean():.3f}", *blank]
            )
        lines = [" | ".join(row) for row in (header, ["---"] * len(header), *rows)]
        parts.append(f"## {name}\n\n" + "\n".join(f"| {line} |" for line in lines))
    return "\n\n".join(parts)


def draw(frame: pd.DataFrame) -> None:
    """Bars of each method between depth alone and the ceiling, in both units."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = [name for name in ("cp10k", "counts") if name in set(frame["run"])]
    figure, axes = plt.subplots(
        1, len(runs), figsize=(4.6 * len(runs), 3.4), sharex=True, layout="constrained"
    )
    titles = {"cp10k": "log1p counts per 10,000", "counts": "log1p counts"}
    for ax, name in zip([axes] if len(runs) == 1 else axes, runs, strict=True):
        part = frame[frame["run"] == name]
        means = part.groupby("method", sort=False)["pearson"].mean()[::-1]
        ax.barh(means.index, means, color=["C0" if m == "stflow" else "0.75" for m in means.index])
        for column, label, colour in (
            ("pearson_depth", "depth alone", "C3"),
            ("ceiling", "ceiling", "C2"),
        ):
            ax.axvline(part[column].mean(), color=colour, linestyle="--", label=label)
        ax.set(title=titles[name], xlabel="mean Pearson, section left out", xlim=(0, 1))
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(RESULTS / "units.png", dpi=150)


def main() -> None:
    """Run, or draw what was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME")
    parser.add_argument("--resume", type=Path, help="folder that lets the same command go on")
    asked = parser.parse_args()
    frame = pd.concat([run(name, asked.methods, asked.resume) for name in RUNS])
    frame.to_csv(RESULTS / "units.csv", index=False, float_format="%.5f")
    (RESULTS / "units.md").write_text(to_markdown(frame) + "\n")
    draw(frame)


if __name__ == "__main__":
    main()
