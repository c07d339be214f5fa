"""Whether intervals of findings hold what is measured: scores of gene sets, means, differences.

Sets are genes that go together in the training slides, and all of the panel; means are of each
half of a slide along its longer axis and of the whole, differences between the halves. Beside them
stand the naive intervals, of independent genes and independent spots. Of her2st each section is
left out in turn; of synthetic tissue a small model of four patients is read on eight others, and
that often, for what four patients tell of a fifth differs much.
Writes ``results/findings.csv`` and ``.md`` after each, and goes on from there.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import norm
from spatialdata import SpatialData

import stflow as stf
from stflow.slide import Slide

RESULTS = Path(__file__).parent / "results"
LEVELS, N_SETS, N_SAMPLES, FEWEST = (0.5, 0.8, 0.9), 6, 100, 3
SECTIONS = ("C2", "C3", "C4", "C5")
N_TRAIN, N_TEST, SEEDS = 4, 8, range(10)
TISSUE: dict[str, Any] = {"n_spots": 120, "image_mpp": 4}
SEEN: dict[str, Any] = {"widths_um": 224, "mpp": 4}
SMALL: dict[str, Any] = {"config": {"n_layers": 1, "hidden": 32}, "max_epochs": 2}
KEYS = ["tissue", "fold", "units", "what", "level"]
QUIET: dict[str, Any] = {"show_progress_bar": False}


@dataclass(frozen=True)
class Case:
    """Training slides, the slides that are read, whose the former are, how to embed and fit."""

    tissue: str
    fold: str
    train: dict[str, SpatialData]
    test: dict[str, SpatialData]
    groups: dict[str, str] | None
    genes: list[str] | None = None
    embedding: dict[str, Any] = field(default_factory=dict)
    fitting: dict[str, Any] = field(default_factory=dict)


def cases() -> Iterator[Case]:
    """Real tissue first, then synthetic."""
    sections = {name: stf.datasets.her2st(name) for name in SECTIONS}
    for left_out in SECTIONS:
        train = {name: each for name, each in sections.items() if name != left_out}
        yield Case("her2st", left_out, train, {left_out: sections[left_out]}, None)
    for seed in SEEDS:
        n = N_TRAIN + N_TEST
        made = stf.datasets.synthetic(n, n_patients=n, seed=seed, **TISSUE)
        train = {f"S{i}": made.pop(f"S{i}") for i in range(1, N_TRAIN + 1)}
        genes = list(train["S1"]["table"].var_names)
        groups = {f"S{i}": f"P{i}" for i in range(1, N_TRAIN + 1)}
        yield Case("synthetic", str(seed), train, made, groups, genes, SEEN, SMALL)


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


def halves(slide: Slide, rows: np.ndarray) -> pd.Categorical:
    """Which half of the slide a spot is in, nothing where it measured too little."""
    axis = np.ptp(slide.coords, axis=0).argmax()
    near = slide.coords[:, axis] < np.median(slide.coords[rows, axis])
    return pd.Categorical(np.where(rows, np.where(near, "near", "far"), None))


def rows_of(case: Case, units: str) -> Iterator[dict[str, Any]]:
    """Fit, predict and compare: yield whether each interval held."""
    how: dict[str, Any] = {"units": units}
    genes = case.genes or stf.pp.select_genes(case.train, n_top_genes=50, **how)
    model = stf.tl.fit(case.train, genes, groups=case.groups, **case.fitting, **how, **QUIET)
    sets = modules(stf.get.slides(case.train, genes, **how), genes)
    about = {"tissue": case.tissue, "fold": case.fold, "units": units}
    for name, test in case.test.items():
        stf.tl.predict(test, model, n_samples=N_SAMPLES, keep_samples=True, overwrite=True, **QUIET)
        (slide,) = stf.get.slides({name: test}, genes, **how)
        enough = np.asarray(slide.totals) >= 100
        for row in (*of_sets(test, slide, enough, sets), *of_means(test, slide, enough)):
            yield about | row


def of_sets(
    test: SpatialData, slide: Slide, enough: np.ndarray, sets: dict[str, list[str]]
) -> Iterator[dict[str, Any]]:
    """Scores spot by spot; the naive sd is of independent genes."""
    stf.tl.score_genes(test, sets, overwrite=True)
    weights = np.stack([np.isin(slide.genes, each) / len(each) for each in sets.values()], axis=1)
    measured = slide.expression @ weights
    mean, naive = (
        test["table"].obsm["stflow"].to_numpy() @ weights,
        np.sqrt(np.square(test["table"].obsm["stflow_sd"].to_numpy()) @ weights**2),
    )
    for level in LEVELS:
        bounds = stf.get.intervals(test, level=level, key="stflow_scores")
        lower, upper = (bound.to_numpy() for bound in bounds)
        for k, set_ in enumerate(sets):
            what = {"what": "set, all genes" if set_ == "all" else "set, a module", "level": level}
            half = norm.ppf(0.5 + level / 2) * naive[:, k]
            yield what | {
                "held": ((lower < measured) & (measured < upper))[enough, k].mean(),
                "naive": (np.abs(measured[:, k] - mean[:, k]) < half)[enough].mean(),
                "wider": ((upper - lower)[enough, k] / (2 * half[enough])).mean(),
            }


def of_means(test: SpatialData, slide: Slide, enough: np.ndarray) -> Iterator[dict[str, Any]]:
    """Means and differences gene by gene; the naive sd is of independent spots."""
    table = test["table"]
    half = table.obs["half"] = halves(slide, enough)
    table.obs["whole"] = pd.Categorical(np.where(enough, "whole", None))
    variance = np.square(table.obsm["stflow_sd"].to_numpy())
    amounts = np.expm1(slide.expression)
    for level in LEVELS:
        near_far = ("near", "far")
        found = {
            "mean of a half": stf.tl.summarize(test, "half", level=level),
            "mean of a slide": stf.tl.summarize(test, "whole", level=level),
            "difference": stf.tl.summarize(test, "half", contrast=near_far, level=level),
        }
        for what, each in found.items():
            for i, group in enumerate(each.obs["group"]):
                parts = [half == name if name != "whole" else enough for name in group.split(" - ")]
                signs = (1, -1)[: len(parts)]
                true, bulk = (
                    sum(
                        sign * values[rows].mean(0) for sign, rows in zip(signs, parts, strict=True)
                    )
                    for values in (slide.expression, amounts)
                )
                sd = np.sqrt(sum(variance[rows].sum(0) / rows.sum() ** 2 for rows in parts))
                lower, upper, mean = (each.layers[name][i] for name in ("lower", "upper", "mean"))
                wide = norm.ppf(0.5 + level / 2) * sd
                yield {
                    "what": what,
                    "level": level,
                    "held": ((lower < true) & (true < upper)).mean(),
                    "naive": (np.abs(true - mean) < wide).mean(),
                    "wider": ((upper - lower) / (2 * wide)).mean(),
                }
                if len(parts) == 1:
                    lower, upper = (each.layers[f"bulk_{name}"][i] for name in ("lower", "upper"))
                    held = ((lower < bulk) & (bulk < upper)).mean()
                    yield {"what": what.replace("mean", "bulk"), "level": level, "held": held}


def table_of(found: pd.DataFrame) -> str:
    """Mean shares over folds, a row a finding."""
    keys = ["tissue", "units", "what"]
    wide = found.pivot_table(["held", "naive", "wider"], keys, "level", sort=False)
    lines = [
        "| tissue | units | folds | what | held: 50 % | 80 % | 90 % "
        "| naive: 50 % | 80 % | 90 % | wider |",
        "| --- " * 11 + "|",
    ]
    for at, row in wide.iterrows():
        shares = [row[who, level] for who in ("held", "naive") for level in LEVELS]
        told = ["" if np.isnan(share) else f"{share:.2f}" for share in shares]
        wider = row["wider", 0.8]
        told.append("" if np.isnan(wider) else f"{wider:.1f}")
        tissue, units, what = map(str, at)
        n = found["fold"][(found["tissue"] == tissue) & (found["units"] == units)].nunique()
        lines.append("| " + " | ".join([tissue, units, str(n), what, *told]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all cases, and write the table after each."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    warnings.simplefilter("ignore")
    for case in cases():
        for units in ("cp10k", "counts"):
            compute(case, units)


def compute(case: Case, units: str) -> None:
    """Add the shares of a case, its mean over slides, genes and sets, to what is there."""
    path = RESULTS / "findings.csv"
    found = pd.read_csv(path, dtype={"fold": str}) if path.exists() else pd.DataFrame(columns=KEYS)
    about = case.tissue, case.fold, units
    if about in {*found[KEYS[:3]].itertuples(index=False, name=None)}:
        return
    for sdata in (*case.train.values(), *case.test.values()):
        if "X_embedding" not in sdata["table"].obsm:
            stf.pp.embed(sdata, **case.embedding, **QUIET)
            stf.pp.neighbors(sdata)
    rows = pd.DataFrame(rows_of(case, units)).groupby(KEYS, sort=False).mean().reset_index()
    found = rows if found.empty else pd.concat([found, rows])
    found.to_csv(path, index=False, float_format="%.4f")
    print(text := table_of(found), flush=True)
    path.with_suffix(".md").write_text(INTRODUCTION + text)


INTRODUCTION = f"""# Findings and their intervals

Share of what is measured that lies within the intervals of `stf.tl.score_genes` (spots of a slide)
and `stf.tl.summarize` (genes of a slide), with {N_SAMPLES} samples, beside naive intervals of
independent genes and spots; "wider" is how much wider ours are at 80 %. A module is a set of genes
that go together in the training slides. her2st: sections of a patient left out in turn, a fold
each. Synthetic tissue: a fold is a model of {N_TRAIN} patients, read on {N_TEST} others, on coarse
images and with a small network of two epochs. Four patients may be alike by chance, as in depth,
and then what they tell of a fifth is too little; claims are about the mean over many folds.
`python benchmarks/findings.py`

"""

if __name__ == "__main__":
    main()
