"""How far fractions of cell types can be trusted, with panels of 50, 200 and 1,000 genes.

Spots are mixtures of eight types by a known law: smooth fractions, of which an image shows half,
Poisson counts of 5,000 a spot, and genes that the spatial technology reads by other factors than
single cells do. Predictions know what the image shows; their samples have the law's own spread and
correlations of residuals, as normals of log1p counts per 10,000. Beside them the same regression of
the law's expression and of counts, and simpler ways. Then two types that are made alike step by
step. Writes ``results/cell_types.md`` and ``results/cell_types.png``.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.ndimage import gaussian_filter

import stflow as stf
from stflow.metrics import coverage, pearson

RESULTS = Path(__file__).parent / "results"
N_TYPES, N_GENES, N_CELLS, SIDE, N_SAMPLES, DEPTH, SHOWN = 8, 5000, 100, 20, 100, 5000, 0.5
PANELS, LEVELS, PER, KEY = (50, 200, 1000), (0.5, 0.8, 0.9), 1e4, "stflow_cell_types"
OURS, ALONE = "`score_cell_types`", "regression of the mean prediction"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """Fractions (1 + S, N, K), the first of them true; shares of messages (G, K); cells."""

    fractions: np.ndarray
    shares: np.ndarray
    cells: AnnData
    depth: np.ndarray
    rng: np.random.Generator

    def expression(self, at: int, genes: np.ndarray) -> np.ndarray:
        """Compute counts per 10,000 by the law, shape (N, G)."""
        return PER * self.fractions[at] @ self.shares[genes].T

    def counts(self, at: int, genes: np.ndarray) -> np.ndarray:
        """Draw what is counted of it, again per 10,000."""
        mean = self.expression(at, genes) * self.depth[:, None] / PER
        return self.rng.poisson(mean) * PER / self.depth[:, None]


def make_tissue(seed: int, factor: float, alike: float | None = None) -> Tissue:
    """Draw a tissue; the last two types differ by ``alike`` in the log of each gene."""
    rng = np.random.default_rng(seed)
    lineages = rng.normal(0, 0.4, (3, N_GENES)) * (rng.random((3, N_GENES)) < 0.3)
    own = rng.normal(0, 0.15, (N_TYPES, N_GENES))
    own += rng.normal(0, 1.5, (N_TYPES, N_GENES)) * (rng.random((N_TYPES, N_GENES)) < 0.05)
    logs = rng.normal(0, 1.8, N_GENES) + lineages[np.arange(N_TYPES) % 3] + own
    if alike is not None:
        logs[-1] = logs[-2] + rng.normal(0, alike, N_GENES)
    single = np.exp(logs.T) / np.exp(logs).sum(1)
    spatial = single * np.exp(rng.normal(0, factor, (N_GENES, 1)))
    labels = np.repeat(np.arange(N_TYPES), N_CELLS)
    totals = rng.lognormal(np.log(3000), 0.4, (len(labels), 1))
    counts = rng.poisson(totals * single.T[labels] * rng.gamma(2, 0.5, (len(labels), N_GENES)))
    names = [f"G{i}" for i in range(N_GENES)]
    obs = pd.DataFrame(
        {"cell_type": [f"type {k}" for k in labels]}, [str(i) for i in range(len(labels))]
    )
    cells = AnnData(counts.astype(float), obs, pd.DataFrame(index=names))
    maps = rng.normal(size=(N_SAMPLES + 2, N_TYPES, SIDE, SIDE))
    maps = gaussian_filter(maps, (0, 0, 1.5, 1.5), mode="wrap")
    maps = (maps / maps.std((2, 3), keepdims=True)).reshape(len(maps), N_TYPES, -1).swapaxes(1, 2)
    logits = np.sqrt(SHOWN) * maps[0] + np.sqrt(1 - SHOWN) * maps[1:]
    fractions = np.exp(1.5 * logits + rng.normal(0, 0.7, N_TYPES))
    fractions /= fractions.sum(2, keepdims=True)
    depth = rng.lognormal(np.log(DEPTH), 0.4, SIDE**2)
    return Tissue(fractions, spatial / spatial.sum(0), cells, depth, rng)


def choose(tissue: Tissue, n_genes: int) -> np.ndarray:
    """Most variable genes among those seen in a tenth of the spots."""
    counts = tissue.counts(0, np.arange(N_GENES))
    seen = (counts > 0).mean(0) > 0.1
    return np.argsort(-np.where(seen, np.log1p(counts).var(0), -1))[:n_genes]


def draw(tissue: Tissue, genes: np.ndarray) -> np.ndarray:
    """Draw samples of log1p counts per 10,000, shape (S, N, G)."""
    drawn = np.stack([np.log1p(tissue.counts(at, genes)) for at in range(1, N_SAMPLES + 1)]).astype(
        np.float32
    )
    mean = drawn.mean(0)
    residual = (drawn - mean).reshape(-1, len(genes))
    covariance = residual.T @ residual / (len(residual) - len(mean))
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(genes), dtype=np.float32))
    normal = tissue.rng.standard_normal(drawn.shape, dtype=np.float32)
    return np.maximum(mean + normal @ root.T, 0)


def score(samples: np.ndarray, genes: list[str], cells: AnnData) -> AnnData:
    """Write samples of log1p counts per 10,000 to a table, and score it."""
    table = AnnData(obs=pd.DataFrame(index=[str(i) for i in range(samples.shape[1])]))
    for key, values in (("stflow", samples.mean(0)), ("stflow_sd", samples.std(0, ddof=1))):
        table.obsm[key] = pd.DataFrame(values, table.obs_names, genes)
    table.obsm["stflow_samples"] = np.moveaxis(samples, 0, 2)
    stf.tl.score_cell_types(table, cells)
    return table


def regressed(expression: np.ndarray, genes: list[str], cells: AnnData) -> np.ndarray:
    """Run the same regression of one expression (N, G), counts per 10,000."""
    return score(np.log1p(expression)[None].repeat(2, 0), genes, cells).obsm[KEY].to_numpy()


def marked(expression: np.ndarray, signatures: np.ndarray) -> np.ndarray:
    """Mean of each type's five best markers over what its cells express, brought to add up to 1."""
    others = np.stack([np.delete(signatures, k, 1).max(1) for k in range(signatures.shape[1])], 1)
    best = np.argsort(-(signatures + 0.1) / (others + 0.1), axis=0)[:5]
    typical = np.stack([signatures[best[:, k], k] for k in range(best.shape[1])], 1)
    found = (expression[:, best] / (typical + 0.1)).mean(1)
    return found / found.sum(1, keepdims=True)


def nearest(expression: np.ndarray, signatures: np.ndarray) -> np.ndarray:
    """All of a spot to the type that correlates most with its log expression, centred by genes."""
    logs, typical = np.log1p(expression), np.log1p(signatures)
    away = logs - logs.mean(0), typical.T - typical.mean(1)
    similar = np.corrcoef(*away)[: len(logs), len(logs) :]
    return np.eye(signatures.shape[1])[similar.argmax(1)]


def typical_expression(cells: AnnData, genes: np.ndarray) -> np.ndarray:
    """Compute counts per 10,000 of each type, shape (G, K)."""
    labels = cells.obs["cell_type"].to_numpy()
    sums = np.stack([cells.X[labels == kind].sum(0) for kind in np.unique(labels)], 1)
    return PER * sums[genes] / sums.sum(0)


def compared(seed: int, factor: float, n_genes: int) -> Iterator[Row]:
    """Rows of one tissue, panel and factor."""
    tissue = make_tissue(seed, factor)
    genes = choose(tissue, n_genes)
    names, cells, true = [f"G{i}" for i in genes], tissue.cells, tissue.fractions[0]
    counts, samples = tissue.counts(0, genes), draw(tissue, genes)
    measured = regressed(counts, names, cells)
    table = score(samples, names, cells)
    mean, signatures = np.expm1(samples.mean(0)), typical_expression(cells, genes)
    found = {
        ("the law's", OURS): regressed(tissue.expression(0, genes), names, cells),
        ("counts", OURS): measured,
        ("predicted", OURS): table.obsm[KEY].to_numpy(),
        ("predicted", ALONE): regressed(mean, names, cells),
        ("predicted", "five markers a type"): marked(mean, signatures),
        ("predicted", "nearest type"): nearest(mean, signatures),
        ("none", "the slide's true mean everywhere"): true.mean(0) + 0 * true,
        ("none", "shares of the reference"): np.full_like(true, 1 / N_TYPES),
    }
    r_genes = pearson(np.log1p(counts), samples.mean(0)).mean()
    for (expression, method), each in found.items():
        row = {"factor": factor, "genes": n_genes, "expression": expression, "method": method}
        row |= {"error": np.abs(each - true).mean(), "r": np.nanmean(pearson(true, each))}
        if (expression, method) == ("predicted", OURS):
            row["r_genes"] = r_genes
            for level in LEVELS:
                bounds = [bound.to_numpy() for bound in stf.get.intervals(table, level, key=KEY)]
                row[f"true_{level}"] = coverage(true, *bounds).mean()
                row[f"counts_{level}"] = coverage(measured, *bounds).mean()
        yield row


def sisters(seed: int, alike: float) -> Row:
    """How well two types that are more or less alike are found, alone and together, in counts."""
    tissue = make_tissue(seed, 0.5, alike)
    genes = choose(tissue, 200)
    names, true = [f"G{i}" for i in genes], tissue.fractions[0]
    table = score(np.log1p(tissue.counts(0, genes))[None].repeat(2, 0), names, tissue.cells)
    found, pair = table.obsm[KEY].to_numpy(), [N_TYPES - 2, N_TYPES - 1]
    together = [each[:, pair].sum(1, keepdims=True) for each in (true, found)]
    return {
        "differ": alike,
        "cosine": table.uns[KEY]["similarity"][tuple(pair)],
        "alone": pearson(true, found)[pair].mean(),
        "together": pearson(*together)[0],
        "error_alone": np.abs(true - found)[:, pair].mean(),
        "error_together": np.abs(together[0] - together[1]).mean(),
    }


def as_table(frame: pd.DataFrame) -> str:
    """Markdown, numbers with as many digits as they mean."""
    lines = ["| " + " | ".join(frame.columns) + " |", "| --- " * len(frame.columns) + "|"]
    for row in frame.itertuples(index=False):
        told = ["" if value != value else f"{value}" for value in row]
        lines.append("| " + " | ".join(told) + " |")
    return "\n".join(lines)


def rounded(frame: pd.DataFrame, **digits: int) -> pd.DataFrame:
    """Text of some columns with so many digits, the empty one of NaN."""
    told = {
        name: [f"{value:.{n}f}" if value == value else "" for value in frame[name]]
        for name, n in digits.items()
    }
    return frame.assign(**told)


def side_by_side(rows: pd.DataFrame, score: str, digits: int) -> pd.DataFrame:
    """Put a score of every way to get fractions beside each other, a row a factor and panel."""
    found = rows.pivot(
        index=["factor", "genes"], columns=["expression", "method"], values=score
    ).rename(columns={OURS: "", "none": ""})
    ways = [", ".join(filter(None, way)) for way in found.columns]
    found = found.set_axis(ways, axis=1).dropna(axis=1).reset_index()
    return rounded(found, **dict.fromkeys(found.columns[2:], digits))


def write(rows: pd.DataFrame, alike: pd.DataFrame) -> None:
    """Write the page."""
    held = {f"{of}_{level}": f"{level:.0%}, {of}" for of in ("true", "counts") for level in LEVELS}
    ours = rows[rows["r_genes"].notna()]
    shares = rounded(ours[["factor", "genes", *held]], **dict.fromkeys(held, 2))
    by_panel = ours.groupby("genes")["r_genes"].mean()
    correlations = ", ".join(f"{value:.2f} ({n} genes)" for n, value in by_panel.items())
    digits = {"differ": 2, "cosine": 3, "alone": 2, "together": 2}
    pairs = rounded(alike[[*digits]], **digits)
    names = ["sd of log ratio", "cosine", "r of each fraction", "r of their sum"]
    tables = {
        "Mean absolute error of a fraction": side_by_side(rows, "error", 3),
        "Correlation with the true fractions over spots, mean over types": side_by_side(
            rows, "r", 2
        ),
        "Share of fractions that intervals hold, of the true ones and of those that the same "
        "regression finds in counts, which is what they claim": shares.rename(columns=held),
        "Two types that become alike, in counts of 200 genes": pairs.set_axis(names, axis=1),
    }
    text = (
        "# Fractions of cell types\n\n"
        f"Mixtures of {N_TYPES} types on {SIDE**2} spots, three seeds; fractions by "
        "`stf.tl.score_cell_types`, whose regression was chosen on other seeds, unless a column "
        "says another way. The spatial technology reads each gene by a factor of its own beside "
        "single cells, of the standard deviation of its log in the first column. Panels are the "
        f"most variable genes. Expression is the law's (no noise), counts ({DEPTH:,} a spot), or "
        "predicted from half of what makes fractions vary, with the standard deviation of what is "
        "left: mean predictions correlate with the counts of genes at "
        f"{correlations}. `python benchmarks/cell_types.py`\n"
    )
    for title, table in tables.items():
        text += f"\n{title}:\n\n{as_table(table.rename(columns={'factor': 'sd of log factors'}))}\n"
    (RESULTS / "cell_types.md").write_text(text)


def draw_figure(rows: pd.DataFrame, alike: pd.DataFrame) -> None:
    """Error by panel, coverage, and what becomes of types that are alike."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    kinds = {
        ("none", "the slide's true mean everywhere"): ("true mean everywhere", "#888888", "v"),
        ("predicted", OURS): ("predicted", "#0072B2", "o"),
        ("counts", OURS): ("counts", "#D55E00", "s"),
        ("the law's", OURS): ("expression without noise", "#009E73", "^"),
    }
    indexed = rows.set_index(["expression", "method"]).sort_index()
    for kind, (label, colour, marker) in kinds.items():
        for factor, style in ((0.0, "--"), (0.5, "-")):
            found = indexed.loc[[kind]].query("factor == @factor")
            label_ = label if factor else None
            axes[0].plot(
                found["genes"], found["error"], style, c=colour, marker=marker, label=label_
            )
    axes[0].plot([], [], "k--", label="no factors of genes")
    axes[0].set(
        xscale="log", xlabel="genes of the panel", ylabel="error of a fraction", ylim=(0, 0.22)
    )
    axes[0].set_xticks(PANELS, [f"{n:,}" for n in PANELS], minor=False)
    axes[0].minorticks_off()
    axes[0].legend(frameon=False, fontsize=8, handlelength=1.4)
    ours = indexed.loc[[("predicted", OURS)]].query("factor == 0.5")
    axes[1].plot([0, 1], [0, 1], c="#bbbbbb", lw=1)
    for of, label, colour, marker in (
        ("counts", "regression of counts", "#D55E00", "s"),
        ("true", "true fractions", "#0072B2", "o"),
    ):
        for n_genes, alpha in zip(PANELS, (0.35, 0.65, 1), strict=True):
            row = ours.query("genes == @n_genes").iloc[0]
            held = [row[f"{of}_{level}"] for level in LEVELS]
            label_ = f"{label}, {n_genes:,} genes"
            axes[1].plot(LEVELS, held, c=colour, marker=marker, alpha=alpha, label=label_)
    axes[1].set(xlabel="level of the interval", ylabel="share held", xlim=(0.4, 1), ylim=(0.4, 1))
    axes[1].legend(frameon=False, fontsize=8)
    axes[2].plot(alike["cosine"], alike["together"], c="#009E73", marker="^", label="sum of both")
    axes[2].plot(alike["cosine"], alike["alone"], c="#CC79A7", marker="o", label="each alone")
    axes[2].axvline(0.95, c="#888888", ls=":", label="warned of, from here on")
    axes[2].set(
        xlabel="cosine of two types' signatures", ylabel="r with true fractions", ylim=(0, 1.02)
    )
    axes[2].legend(frameon=False, fontsize=8, loc="lower left")
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "cell_types.png", dpi=110)


def main() -> None:
    """Run, print, and write the page and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(100, 100 + options.seeds)
    rows = []
    for factor in (0.0, 0.5, 1.0):
        for n_genes in PANELS:
            found = [pd.DataFrame(compared(seed, factor, n_genes)) for seed in seeds]
            by = ["factor", "genes", "expression", "method"]
            rows.append(pd.concat(found).groupby(by, sort=False, as_index=False).mean())
            print(rows[-1].to_string(), flush=True)
    pairs = [
        pd.DataFrame([sisters(seed, alike) for seed in seeds]).mean()
        for alike in (1.0, 0.7, 0.5, 0.35, 0.25, 0.15)
    ]
    alike = pd.DataFrame(pairs)
    print(alike.to_string(), flush=True)
    compared_ = pd.concat(rows, ignore_index=True)
    write(compared_, alike)
    draw_figure(compared_, alike)


if __name__ == "__main__":
    main()
