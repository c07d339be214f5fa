"""Whether intervals of gene-set scores hold what is measured, beside those of independent genes.

Genes of her2st that go together in the training sections are sets, and so are all of the panel:
trained on C2, C3 and C4, scored on C5. Synthetic tissue of known patients, one of them new, with
sets of the same kind. Writes ``results/gene_sets.md``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from spatialdata import SpatialData

import stflow as stf
from stflow.slide import Slide

RESULTS = Path(__file__).parent / "results"
LEVELS, N_SETS, N_SAMPLES, FEWEST = (0.5, 0.8, 0.9), 6, 100, 3
Case = tuple[str, dict[str, SpatialData], SpatialData, dict[str, str] | None]


def cases() -> Iterator[Case]:
    """Name, training slides, the slide that is scored, and whose they are."""
    sections = {name: stf.datasets.her2st(name) for name in ("C2", "C3", "C4", "C5")}
    yield "her2st", sections, sections.pop("C5"), None
    for seed in (0, 1):
        made = stf.datasets.synthetic(5, n_spots=300, n_patients=5, seed=seed)
        whose = {f"S{i}": f"P{i}" for i in range(1, 5)}
        yield f"synthetic, seed {seed}", made, made.pop("S5"), whose


def modules(slides: list[Slide], genes: list[str]) -> dict[str, list[str]]:
    """Genes that go together in the training slides, and all of them."""
    inside = np.concatenate([slide.expression - slide.expression.mean(0) for slide in slides])
    away = 1 - np.corrcoef(inside.T)
    condensed = away[np.triu_indices(len(genes), 1)]
    kinds = fcluster(linkage(condensed, "average"), N_SETS, "maxclust")
    found = {
        f"module {kind}": [g for g, k in zip(genes, kinds, strict=True) if k == kind]
        for kind in np.unique(kinds)
    }
    return {"all": genes} | {name: set_ for name, set_ in found.items() if len(set_) >= FEWEST}


def held(test: SpatialData, measured: np.ndarray, rows: np.ndarray, level: float) -> np.ndarray:
    """Share of the spots whose score lies between the bounds, set by set."""
    lower, upper = stf.get.intervals(test, level=level, key="stflow_scores")
    inside = (lower.to_numpy() < measured) & (measured < upper.to_numpy())
    return inside[rows].mean(0)


def score(case: Case, units: str) -> Iterator[str]:
    """Fit, predict and compare; yield rows of a table."""
    name, train, test, groups = case
    for sdata in (*train.values(), test):
        if "X_embedding" not in sdata["table"].obsm:
            stf.pp.embed(sdata, show_progress_bar=False)
            stf.pp.neighbors(sdata)
    how: dict[str, Any] = {"units": units}
    genes = stf.pp.select_genes(train, n_top_genes=50, **how)
    model = stf.tl.fit(train, genes, groups=groups, show_progress_bar=False, **how)
    quiet: dict[str, Any] = {"show_progress_bar": False, "overwrite": True}
    stf.tl.predict(test, model, n_samples=N_SAMPLES, keep_samples=True, **quiet)
    sets = modules(stf.get.slides(train, genes, **how), genes)
    stf.tl.score_genes(test, sets, overwrite=True)
    (slide,) = stf.get.slides({"test": test}, genes, **how)
    rows = np.asarray(slide.totals) >= 100
    table = test["table"]
    weights = np.stack([np.isin(genes, each) / len(each) for each in sets.values()], axis=1)
    measured = slide.expression @ weights
    ours = [held(test, measured, rows, level) for level in LEVELS]
    naive_sd = np.sqrt(np.square(table.obsm["stflow_sd"].to_numpy()) @ weights**2)
    wider = table.obsm["stflow_scores_sd"].to_numpy().mean(0) / naive_sd.mean(0)
    table.obsm["stflow_scores_sd"].iloc[:] = naive_sd
    table.uns["stflow_scores"]["shift"][:] = 0
    naive = [held(test, measured, rows, level) for level in LEVELS]
    for k, (set_, members) in enumerate(sets.items()):
        told = [f"{each[k]:.2f}" for each in (*ours, *naive)]
        cells = [name, units, set_, str(len(members)), f"{wider[k]:.2f}", *told]
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run all cases, and write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    warnings.simplefilter("ignore")
    levels = [f"{who}, {level:.0%}" for who in ("held", "naive") for level in LEVELS]
    head = ["tissue", "units", "set", "genes", "sd over naive", *levels]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for case in cases():
        for units in ("cp10k", "counts"):
            for line in score(case, units):
                print(line, flush=True)
                lines.append(line)
    text = (
        "# Scores of gene sets\n\n"
        "Share of the spots whose measured score, the mean over a set's genes, lies within the "
        f"intervals of `stf.tl.score_genes` ({N_SAMPLES} samples), beside those of the naive "
        "standard deviation of independent genes. Modules are genes that go together in the "
        "training slides. her2st: C2, C3 and C4, scored on C5, another section of the same "
        "patient; synthetic tissue: four patients, scored on a fifth. "
        "`python benchmarks/gene_sets.py`\n\n"
    )
    (RESULTS / "gene_sets.md").write_text(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
