"""Public verb: the paper's tables 1 to 5 of what was run, and the marker genes, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stflow._atomic import write_bytes
from stflow._units import UNITS
from stflow.bench._jobs import prediction_name, truth_name
from stflow.bench._results import Key
from stflow.bench.tables._figures import MARKERS, MarkerMap, draw_accuracy, draw_biomarkers
from stflow.bench.tables._folders import Folders
from stflow.bench.tables._grid import pipes
from stflow.bench.tables._labels import method_label
from stflow.bench.tables._markdown import to_markdown
from stflow.bench.tables._rows import compare, make_tables
from stflow.metrics import pearson

SHOWN = ("stflow", "triplex", "ridge")
TITLES = {
    "accuracy": "Accuracy: mean Pearson correlation (table 1 of the paper)",
    "priors": "Priors of the flow (table 2)",
    "architectures": "E(2)-invariant architectures (table 3)",
    "ablation": "Ablation (table 4)",
    "field": "Breast tumours as others score them: mean Pearson correlation",
    "structure": "Beside depth: partial correlation, and structure of genes and spots",
    "run_time": "Run time and memory (table 5)",
    "differences": "Differences to stflow, fold by fold",
    "markers": "Marker genes: Pearson correlation on each test slide",
}


def write_tables(
    path: str | Path | Sequence[str | Path], output: str | Path | None = None
) -> dict[str, Path]:
    """Write the tables and figures of a benchmark.

    Parameters
    ----------
    path
        Folder that :func:`run` wrote to, or several, for runs of one benchmark side by side.
    output
        Folder for the files. None: ``tables`` in the first of these.

    Returns
    -------
    Files by name. ``tables.md`` holds all tables with how they were made, for each of the units
    that results are in; there is a CSV file of each, and ``results.csv`` with a row for each fold.
    Results that say no units are of raw counts. ``accuracy.png`` shows every fold.
    ``markers.csv`` and ``markers.png`` compare maps of GATA3, ERBB2, UBE2C and VWF, where they
    were predicted; the picture shows the first test slide of each task.

    Raises
    ------
    FileNotFoundError
        A folder holds no benchmark.
    ValueError
        No folder, nothing is finished there, folders are of different benchmarks or hold the same
        result, or a file is damaged.
    """
    results = Folders([path] if isinstance(path, str | Path) else path)
    frame, about = results.frame(), results.run
    if frame.empty:
        raise ValueError(f"{results.path} holds no finished results; run the benchmark first.")
    frame["own_panel"] = about["genes"] is not None
    tables = make_tables(frame)
    tables["differences"] = compare(frame)
    parts = {name: to_markdown(table) for name, table in tables.items() if len(table)}
    maps = list(_marker_maps(results, _shown(frame), every_slide=True))
    first = list(_marker_maps(results, _first_folds(_shown(frame)), every_slide=False))
    if maps:
        tables["markers"] = _marker_scores(maps)
        parts["markers"] = _marker_table(tables["markers"])
    files = {"results.csv": frame.drop(columns="own_panel").to_csv(index=False).encode()}
    files |= {f"{name}.csv": tables[name].to_csv(index=False).encode() for name in parts}
    chapters = [f"## {TITLES[name]}\n\n{text.strip()}" for name, text in parts.items()]
    head = "# Results\n\n" + _provenance(about, frame)
    files["tables.md"] = ("\n\n".join([head, *chapters]) + "\n").encode()
    files["accuracy.png"] = _png(draw_accuracy(frame))
    if first:
        files["markers.png"] = _png(draw_biomarkers(first))
    folder = results.path / "tables" if output is None else Path(output)
    for name, content in files.items():
        write_bytes(folder / name, content)
    return {name: folder / name for name in files}


def _provenance(run: dict[str, Any], frame: pd.DataFrame) -> str:
    """Say with what commands, seeds, versions and machines the results were made."""
    lines = ["Made by"]
    lines += sorted({f"- `{session['command']}`" for session in run["sessions"]})
    places = {(s["machine"], s["threads"], s["device"]) for s in run["sessions"]}
    machines = sorted(f"{machine}, {n} threads, {device}" for machine, n, device in places)
    versions = {f"{name} {v}" for s in run["sessions"] for name, v in s["versions"].items()}
    seeds = ", ".join(map(str, sorted(frame["seed"].unique())))
    where = f"on {'; '.join(machines)}; seeds {seeds}; with {', '.join(sorted(versions))}."
    return "\n".join([*lines, "", where, "", _panel(run)])


def _panel(run: dict[str, Any]) -> str:
    if run["genes"] is not None:
        return f"Genes: {', '.join(run['genes'])}, in both protocols."
    free = [name for name, task in run["tasks"].items() if "target" not in task]
    lines = [_target(name, task) for name, task in run["tasks"].items() if name not in free]
    if free or not lines:
        lines.insert(
            0,
            f"Genes: the {run['n_top_genes']} most variable of the training slides of each fold, "
            "but in protocol `hest` the list of the task where it has one.",
        )
    return "\n".join(lines)


def _target(name: str, task: dict[str, Any]) -> str:
    """Say what a task with rules of its own was run on, and for which genes."""
    target = task["target"]
    return (
        f"- `{name}`: folds {', '.join(task['splits'])} of the slides {', '.join(task['slides'])}, "
        f"tiles of {task['tiles']}; genes: of the {target['n_expressed']} with the largest mean, "
        f"the {target['n_genes']} with the largest variance, on the training slides of each fold."
    )


def _shown(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep what maps are drawn of: finished results of few methods, with the first seed."""
    done = frame[(frame["error"] == "") & frame["method"].isin(SHOWN)]
    return done[done["seed"] == done["seed"].min()]


def _marker_maps(
    results: Folders, frame: pd.DataFrame, *, every_slide: bool
) -> Iterator[MarkerMap]:
    """Collect markers of each test slide, or of the first of each fold."""
    for _, rows in frame.groupby(["task", "fold", "protocol", "units"], sort=False):
        keys = [Key.of(row) for row in rows.to_dict("records")]
        truth = results.read_arrays(truth_name(keys[0]))
        each_found = {key: results.read_arrays(prediction_name(key)) for key in keys}
        found = {key: arrays for key, arrays in each_found.items() if arrays is not None}
        if truth is None or not found:
            continue
        measured = np.where(_scored(truth)[:, None], truth["measured"], np.nan)
        slides = np.unique(truth["slide"])
        for slide in slides if every_slide else slides[:1]:
            spots = truth["slide"] == slide
            for gene in (gene for gene in MARKERS if gene in truth["genes"]):
                column = truth["genes"].tolist().index(gene)
                yield MarkerMap(
                    slide=f"{keys[0].task} {slide}, {keys[0].protocol}, {keys[0].units}",
                    gene=gene,
                    coords=truth["coords"][spots],
                    measured=measured[spots, column],
                    predicted={
                        method_label(key.method, key.encoder): each["predicted"][spots, column]
                        for key, each in found.items()
                    },
                )


def _scored(truth: dict[str, np.ndarray]) -> np.ndarray:
    """Tell the spots that were scored, shape (N,): all of them in results that do not say it."""
    return truth.get("scored", np.ones(len(truth["measured"]), dtype=bool))


def _marker_scores(maps: list[MarkerMap]) -> pd.DataFrame:
    rows = []
    for each in maps:
        kept = np.isfinite(each.measured)
        for method, predicted in each.predicted.items():
            found = pearson(each.measured[kept, None], predicted[kept, None])
            rows.append((each.slide, each.gene, method, float(found[0])))
    return pd.DataFrame(rows, columns=["slide", "gene", "method", "pearson"])


def _first_folds(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the first fold of each task, nested and in the default units where that was run."""
    for column, first in (("protocol", "nested"), ("units", UNITS[0])):
        chosen = frame[column] == first
        some = chosen.groupby(frame["task"]).transform("any")
        frame = frame[chosen | ~some]
    return frame[frame["fold"] == frame.groupby("task")["fold"].transform("first")]


def _marker_table(scores: pd.DataFrame) -> str:
    rows = [[*map(str, names), f"{value:.3f}"] for *names, value in scores.itertuples(index=False)]
    return pipes(list(scores.columns), rows)


def _png(figure: Any) -> bytes:
    with BytesIO() as buffer:
        figure.savefig(buffer, format="png", dpi=120, bbox_inches="tight")
        return buffer.getvalue()
