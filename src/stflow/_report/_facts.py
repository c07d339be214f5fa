"""What a page tells beside its pictures: figures and tables, as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stflow._report._cautions import FDR, covered_share, novel_share
from stflow._report._subject import Subject, certainty
from stflow._report._words import number, percent, without_paths
from stflow._sdata import describe_recipe
from stflow._sdata.reported import Canvas, Prediction, Scores
from stflow._units import LABELS

MOST_ROWS = 1000
MM2 = 1e6
COLUMNS = {
    "pearson": "Pearson",
    "partial": "given depth",
    "ceiling": "ceiling",
    "coverage_90": "in 90 % interval",
    "fdr": "FDR",
}
MEANS = {
    "pearson": "Pearson correlation with the counts",
    "ceiling": "the largest that counting noise allows",
    "pearson_depth": "correlation of depth alone",
    "partial": "correlation given depth",
    "coverage_50": "measured inside intervals of 50 %",
    "coverage_80": "measured inside intervals of 80 %",
    "coverage_90": "measured inside intervals of 90 %",
}
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Todo:
    """What is missing, and the call that makes it."""

    text: str
    call: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their columns; ``left_out`` are not shown. The first column names the row."""

    columns: list[str]
    rows: list[list[str]]
    left_out: int = 0


def headline(subject: Subject) -> list[tuple[str, str, str]]:
    """Tell the figures that a reader looks for first: what, how much, and a remark."""
    told, found = subject.prediction, []
    if subject.table is not None:
        found.append(("Spots", f"{subject.table.n_obs:,}", ""))
    if told is not None:
        found.append(("Genes predicted", f"{told.mean.shape[1]:,}", LABELS.get(told.units, "")))
        if told.novelty is not None:
            found.append(("Unfamiliar spots", percent(novel_share(told.novelty)), "5 % expected"))
        if told.trust is not None:
            n_trusted = int((told.trust["fdr"] < FDR).sum())
            found.append(("Genes above chance", f"{n_trusted:,}", f"of {len(told.trust):,}"))
    if subject.covered is not None:
        share = percent(covered_share(subject.covered))
        found.append(("Spots on artifacts", share, "over half their area"))
    if subject.scores is not None:
        means: dict[Any, Any] = dict(subject.scores.attrs)
        ceiling = f"ceiling {number(means['ceiling'])}"
        found.append(("Pearson on this slide", number(means["pearson"]), ceiling))
    return found


def slide_rows(canvas: Canvas) -> list[Row]:
    """Tell the image, its scale, and the areas of tissue and artifacts."""
    if canvas.size is None:
        return []
    rows = [("Image", f"{canvas.image_key}, {canvas.size[0]:,} × {canvas.size[1]:,} pixels")]
    if canvas.mpp is None:
        return [*rows, ("Scale", without_paths(canvas.mpp_source))]
    source = without_paths(canvas.mpp_source)
    rows.append(("Scale", f"{canvas.mpp:.4g} µm per pixel ({source})"))
    area = canvas.mpp**2 / MM2
    whole = None if canvas.tissue is None else canvas.tissue.area
    if whole is not None:
        rows.append(("Tissue", f"{whole * area:.2f} mm²"))
    for kind, cover in canvas.artifacts.items():
        share = f", {percent(cover.area / whole, 1)} of the tissue's" if whole else ""
        size = f"{cover.area * area:.3f} mm²{share}" if cover.area else "none found"
        rows.append((kind.capitalize() or "Artifacts", size))
    return rows


def slide_todos(canvas: Canvas) -> list[Todo]:
    """Tell what of the slide's own is missing."""
    if canvas.image is None:
        return [Todo("The slide holds no image, so there is no picture.", "stf.io.read_wsi(path)")]
    found = []
    if canvas.tissue is None:
        found.append(Todo("Tissue is not outlined.", "stf.pp.detect_tissue(sdata)"))
    if not canvas.artifacts:
        found.append(Todo("Artifacts were not looked for.", "stf.pp.mask_artifacts(sdata)"))
    return found


def trust_table(subject: Subject, told: Prediction) -> Table:
    """Tell for each gene how far it can be trusted, and how it fares on this slide."""
    sure = certainty(told)
    trust = {} if told.trust is None else {name: told.trust[name].to_dict() for name in COLUMNS}
    here = {} if subject.scores is None else subject.scores["pearson"].to_dict()
    by = sure if told.trust is None else told.trust["pearson"]
    order = list(by.sort_values(ascending=False, kind="stable", na_position="last").index)
    columns = ["gene", *(COLUMNS[name] for name in trust), "verdict", "expected share"]
    rows = [
        [
            str(gene),
            *(_figure(name, values[gene]) for name, values in trust.items()),
            _verdict(trust["fdr"][gene] if trust else np.nan),
            percent(sure[gene]),
            *([number(here.get(gene, np.nan))] if here else []),
        ]
        for gene in order[:MOST_ROWS]
    ]
    columns += ["Pearson here"] if here else []
    return Table(columns, rows, max(0, len(order) - MOST_ROWS))


def set_table(sets: Scores) -> Table:
    """Tell each set's genes, mean score, its spread over the spots, and the usual sd of a spot."""
    rows = []
    for name in sets.mean.columns:
        used, missing = sets.used.get(name, []), sets.missing.get(name, [])
        sd = "–" if sets.sd is None else f"{float(sets.sd[name].median()):.2f}"
        told = ", ".join(used) + (f" (not in the panel: {', '.join(missing)})" if missing else "")
        mean, over = float(sets.mean[name].mean()), float(sets.mean[name].std(ddof=0))
        rows.append([str(name), f"{mean:.2f}", f"{over:.2f}", sd, told])
    return Table(["set", "mean score", "sd over spots", "sd of a spot", "genes"], rows)


def score_rows(scores: pd.DataFrame) -> list[Row]:
    """Tell the means over the genes of what was measured against what was predicted."""
    attrs: dict[Any, Any] = dict(scores.attrs)
    rows = []
    for name, label in MEANS.items():
        if name in attrs:
            rows.append((label, _figure(name, attrs[name])))
    rows.append(("genes", f"{attrs['n_genes']:,}"))
    rows.append(("spots that measured too little, left out", f"{attrs['n_left_out']:,}"))
    return rows


def provenance(subject: Subject, key: str, versions: Mapping[str, str]) -> list[Row]:
    """Tell what made the prediction and the page, without names of slides, patients or folders."""
    rows = [("Page made with", ", ".join(f"{name} {told}" for name, told in versions.items()))]
    told = subject.prediction
    if told is None:
        return rows
    info = told.info
    lines = [line.strip() for line in str(info.get("model", "")).splitlines()]
    kept = [line for line in lines[:-1] if line and not line.startswith("trained on")]
    rows.insert(0, ("Prediction", f"{key}, in {LABELS.get(told.units, 'unknown units')}"))
    rows.insert(1, ("Model", ". ".join(kept) or "not recorded"))
    encoder = info.get("encoder")
    recipe = "not recorded"
    if isinstance(encoder, Mapping):
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in encoder.items()}
        recipe = describe_recipe(plain)
    rows.insert(2, ("Embedding", without_paths(recipe)))
    drawn = {"n_samples": "samples", "n_steps": "steps", "seed": "seed"}
    how = [f"{word} {info[name]}" for name, word in drawn.items() if name in info]
    rows.insert(3, ("Draws", ", ".join(how) or "not recorded"))
    made = info.get("versions")
    if isinstance(made, Mapping):
        rows.insert(4, ("Model made with", ", ".join(f"{k} {v}" for k, v in made.items())))
    return rows


def _verdict(fdr: float) -> str:
    if not np.isfinite(fdr):
        return "unknown"
    return "above chance" if fdr < FDR else "not told from chance"


def _figure(name: str, value: float) -> str:
    """Tell a score by its name: coverage in per cent, rates to a thousandth."""
    if name.startswith("coverage"):
        return percent(value)
    if name == "fdr" and np.isfinite(value):
        return "<0.001" if value < 0.001 else f"{value:.3f}"
    return number(value)
