"""Whether intervals hold for patients that a model does not know, on synthetic patients.

Patients of a known law differ in depth, in shifts of genes and in stain
(``stf.datasets.synthetic``). Many times, a few are drawn to train on and ten others to score.
Beside ``stf.get.intervals`` stand those of the same model that leave out what all spots of a slide
share: the mean and a normal of the spots alone. Models that claim new sections alone are scored on
these, too. Writes ``results/patients.md``, ``.csv`` and ``.png``; with ``--resume`` slides and
scores are kept in a folder, and a run that was cut off goes on there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import matplotlib
import numpy as np
import pandas as pd
from anndata import AnnData

import stflow as stf
from stflow import metrics

RESULTS = Path(__file__).parent / "results"
MPP, TILE_PX = 8.0, 28
POOL: dict[str, Any] = {
    "n_spots": 100,
    "n_genes": 100,
    "image_mpp": MPP,
    "dispersion": 10.0,
    "zero_inflation": 0.0,
    "patient_shift": 1.0,
    "patient_depth": 0.5,
    "patient_stain": 0.1,
}
N_PATIENTS, N_SECTIONS, N_UNSEEN, N_GENES = 60, 3, 10, 20
FIT: dict[str, Any] = {"max_epochs": 2, "config": {"n_layers": 1, "hidden": 32}}
LEVELS = (0.5, 0.8, 0.9)
WITH, ALONE = "get.intervals", "spots alone"
NEW, SAME = "new patients", "further sections"
LOOKS: dict[tuple[str, str], dict[str, Any]] = {
    (NEW, WITH): {"color": "C0", "marker": "o", "markersize": 5},
    (NEW, ALONE): {"color": "C3", "marker": "v", "markersize": 5},
    (SAME, WITH): {"color": "C0", "marker": "o", "markersize": 5, "fillstyle": "none"},
    (SAME, ALONE): {"color": "C3", "marker": "v", "markersize": 5, "fillstyle": "none"},
}


@dataclass(frozen=True)
class Setting:
    """What to train on: so many sections of so many patients, who are named or not.

    ``goal`` is how far below and above its level a coverage may lie.
    """

    n_patients: int
    n_sections: int = 1
    named: bool = True
    goal: tuple[float, float] | None = None

    def __str__(self) -> str:
        patients = f"{self.n_patients} patient{'s' if self.n_patients > 1 else ''}"
        each = " each" if self.n_patients > 1 else ""
        sections = f", {self.n_sections} sections{each}" if self.n_sections > 1 else ""
        return f"{patients}{sections}{'' if self.named else ', not named'}"


SETTINGS = (
    Setting(4, goal=(0.05, 0.05)),
    Setting(2, goal=(0.05, 0.10)),
    Setting(2, 2, goal=(0.05, 0.10)),
    Setting(2, 2, named=False),
    Setting(1, 2),
)


def make_pool(folder: Path | None) -> dict[str, list[AnnData]]:
    """Sections of each patient, embedded: read from the folder where they are there."""
    if folder is not None and (folder / "pool").exists():
        tables = [anndata.read_h5ad(path) for path in sorted((folder / "pool").iterdir())]
    else:
        slides = stf.datasets.synthetic(N_PATIENTS * N_SECTIONS, n_patients=N_PATIENTS, **POOL)
        tables = []
        for sdata in slides.values():
            stf.pp.embed(sdata, mpp=MPP, tile_px=TILE_PX, show_progress_bar=False)
            stf.pp.neighbors(sdata)
            tables.append(sdata["table"])
    if folder is not None and not (folder / "pool").exists():
        (folder / "unfinished").mkdir(parents=True, exist_ok=True)
        for number, table in enumerate(tables):
            table.write_h5ad(folder / "unfinished" / f"{number:04d}.h5ad")
        (folder / "unfinished").rename(folder / "pool")
    pool: dict[str, list[AnnData]] = {}
    for table in tables:
        pool.setdefault(table.obs.pop("patient").iloc[0], []).append(table)
    return pool


def intervals(table: AnnData, level: float, *, shifted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (N, G) of a prediction, as published or of what spots do not share alone."""
    if shifted:
        lower, upper = stf.get.intervals(table, level=level)
        return lower.to_numpy(), upper.to_numpy()
    mean, sd = (table.obsm[key].to_numpy() for key in ("stflow", "stflow_sd"))
    info = table.uns["stflow"]
    shared = metrics.normal_sd(info["shift_df"]) * info["shift"]
    spots = np.sqrt(np.clip(sd**2 - shared**2, 0, None))
    lower, upper = metrics.gaussian_interval(mean, spots, level=level)
    return lower.clip(min=0), upper.clip(min=0)


def score(model: stf.STFlow, tables: list[AnnData]) -> dict[str, dict[str, float]]:
    """Coverage and width of both kinds of intervals, means over spots, genes and slides."""
    found = []
    for table in tables:
        done = stf.tl.predict(table, model, inplace=False, show_progress_bar=False)
        (slide,) = stf.get.slides(table, list(model.genes), units=model.units)
        for kind in (WITH, ALONE):
            row: dict[str, Any] = {"intervals": kind}
            for level in LEVELS:
                lower, upper = intervals(done, level, shifted=kind == WITH)
                covered = metrics.coverage(slide.expression, lower, upper)
                row[f"covered_{100 * level:.0f}"] = covered.mean()
                row[f"width_{100 * level:.0f}"] = (upper - lower).mean()
            found.append(row)
    return pd.DataFrame(found).groupby("intervals", sort=False).mean().to_dict("index")


def train(
    pool: Mapping[str, list[AnnData]], patients: list[str], setting: Setting, units: str, seed: int
) -> stf.STFlow:
    """Fit to the first sections of some patients."""
    sections = {
        f"{patient} {number}": table
        for patient in patients
        for number, table in enumerate(pool[patient][: setting.n_sections])
    }
    groups = {name: name.split()[0] for name in sections} if setting.named else None
    genes = list(pool[patients[0]][0].var_names[:N_GENES])
    return stf.tl.fit(
        sections, genes, units=units, groups=groups, seed=seed, show_progress_bar=False, **FIT
    )


def measure(
    pool: Mapping[str, list[AnnData]], setting: Setting, units: str, draw: int
) -> Iterator[dict[str, Any]]:
    """Train on patients drawn for this, and score others, or further sections of the same."""
    drawn = [str(each) for each in np.random.default_rng(draw).permutation(list(pool))]
    patients, unseen = drawn[: setting.n_patients], drawn[-N_UNSEEN:]
    start = time.process_time()
    model = train(pool, patients, setting, units, draw)
    scored = {NEW: [pool[patient][0] for patient in unseen]}
    if not setting.named or setting.n_patients == 1:
        scored[SAME] = [table for each in patients for table in pool[each][setting.n_sections :]]
    for on, tables in scored.items():
        for kind, found in score(model, tables).items():
            about = {"training": str(setting), "units": units, "draw": draw}
            yield {**about, "scored on": on, "intervals": kind, **found}
    print(f"{setting}, {units}, draw {draw}: {time.process_time() - start:.0f} s", flush=True)


def run(units: list[str], n_draws: int, folder: Path | None) -> pd.DataFrame:
    """Measure what the folder does not hold yet."""
    pool = make_pool(folder)
    kept = None if folder is None else folder / "scores.csv"
    frame = pd.read_csv(kept) if kept is not None and kept.exists() else pd.DataFrame()
    for draw in range(n_draws):
        for unit in units:
            for setting in SETTINGS:
                about = {"training": str(setting), "units": unit, "draw": draw}
                if len(frame) and (frame[list(about)] == pd.Series(about)).all(axis=1).any():
                    continue
                rows = pd.DataFrame(measure(pool, setting, unit, draw))
                frame = pd.concat([frame, rows], ignore_index=True)
                if kept is not None:
                    frame.to_csv(kept, index=False)
    return frame[frame["units"].isin(units) & (frame["draw"] < n_draws)]


def summarise(part: pd.DataFrame) -> pd.DataFrame:
    """Mean over draws, and its standard error, of each training and kind of intervals."""
    scores = [name for name in part if name.startswith(("covered", "width"))]
    return part.groupby(["training", "scored on", "intervals"], sort=False)[scores].agg(
        ["mean", "sem"]
    )


def verdict(setting: Setting, means: Mapping[str, float]) -> str:
    """Say whether the goal of a setting is met."""
    if setting.goal is None:
        return ""
    below, above = setting.goal
    off = [means[f"covered_{100 * level:.0f}"] - level for level in LEVELS]
    met = all(-below <= each <= above for each in off)
    return f"-{100 * below:.0f} to +{100 * above:.0f}: {'met' if met else 'missed'}"


def report(frame: pd.DataFrame, command: str) -> str:
    """One table for each unit."""
    lines = [
        "# Intervals for patients that a model does not know",
        "",
        f"Coverage in per cent, mean over {frame['draw'].nunique()} draws of training patients "
        f"from {N_PATIENTS}, each scored on {N_UNSEEN} patients that are not among them, with its "
        f"standard error over draws; {POOL['n_spots']} spots a section, {N_GENES} genes; "
        f"`{command}`. The shift of a gene has a standard deviation of {POOL['patient_shift']:g} "
        f"over patients, on the log mean, the log of their depth {POOL['patient_depth']:g}, their "
        f"stain {100 * POOL['patient_stain']:.0f} %. `{ALONE}` takes the mean and a normal of what "
        "spots do not share: the shift is left out. Where one patient is known, or none is named, "
        f"intervals claim {SAME} of the training patients alone. Width is that at 90 %. Flows "
        f"have one layer of width 32 and {FIT['max_epochs']} epochs: accuracy is not the question.",
    ]
    header = ["training", "scored on", "intervals", *(f"{100 * level:.0f} %" for level in LEVELS)]
    header += ["width", "goal"]
    for units, part in frame.groupby("units", sort=False):
        rows = [row for setting in SETTINGS for row in rows_of(setting, summarise(part))]
        lines += ["", f"## {units}", ""]
        lines += ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join([*lines, ""])


def rows_of(setting: Setting, found: pd.DataFrame) -> list[list[str]]:
    """Rows of the table for one setting."""
    rows = []
    for (training, on, kind), row in found.iterrows():
        if training != str(setting):
            continue
        covered = [row[f"covered_{100 * level:.0f}"] for level in LEVELS]
        cells = [f"{100 * each['mean']:.1f} ± {100 * each['sem']:.1f}" for each in covered]
        means = row.xs("mean", level=1)
        goal = verdict(setting, means) if (on, kind) == (NEW, WITH) else ""
        rows.append([training, on, kind, *cells, f"{means['width_90']:.2f}", goal])
    return rows


def draw(frame: pd.DataFrame) -> None:
    """Coverage of each kind of intervals, beside its level and the goal."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    units = list(frame["units"].unique())
    figure, axes = plt.subplots(
        1, len(units), figsize=(7.4 * len(units), 4.2), sharey=True, squeeze=False
    )
    figure.set_layout_engine("constrained")
    for ax, unit in zip(axes[0], units, strict=True):
        found = summarise(frame[frame["units"] == unit])
        for place, setting in enumerate(SETTINGS):
            for i, level in enumerate(LEVELS):
                draw_level(ax, found, setting, x=place + 0.26 * (i - 1), level=level)
        names = [str(setting).replace(", ", "\n") for setting in SETTINGS]
        ax.set_xticks(range(len(SETTINGS)), names, fontsize=8)
        ax.set(title=unit, ylim=(0, 100))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("measurements inside\n50, 80 and 90 % intervals, %")
    handles = [
        plt.Line2D([], [], linestyle="", label=f"{kind}, {on}", **look)
        for (on, kind), look in LOOKS.items()
    ]
    goal = plt.Rectangle((0, 0), 1, 1, color="C0", alpha=0.2, linewidth=0, label="goal")
    figure.legend(handles=[*handles, goal], loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(RESULTS / "patients.png", dpi=120)


def draw_level(ax: Any, found: pd.DataFrame, setting: Setting, *, x: float, level: float) -> None:
    """Coverage of one level, its two standard errors, and the goal."""
    sides = [x - 0.1, x + 0.1]
    if setting.goal is not None:
        low, high = level - setting.goal[0], min(level + setting.goal[1], 1)
        ax.fill_between(sides, 100 * low, 100 * high, color="C0", alpha=0.2, linewidth=0)
    ax.hlines(100 * level, *sides, color="0.3", linewidth=1)
    for key, look in LOOKS.items():
        if (str(setting), *key) in found.index:
            mean, error = 100 * found.loc[(str(setting), *key), f"covered_{100 * level:.0f}"]
            ax.errorbar(x, mean, 2 * error, linestyle="", **look)


def main() -> None:
    """Measure, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", nargs="+", default=["cp10k"], choices=["cp10k", "counts"])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--resume", type=Path, help="folder that lets the same command go on")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    frame = run(asked.units, asked.draws, asked.resume)
    frame.to_csv(RESULTS / "patients.csv", index=False, float_format="%.5f")
    units = " ".join(asked.units)
    command = f"python benchmarks/patients.py --units {units} --draws {asked.draws}"
    (RESULTS / "patients.md").write_text(report(frame, command))
    draw(frame)
    print(report(frame, command))


if __name__ == "__main__":
    main()
