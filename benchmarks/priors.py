"""Fitting of the count priors: time and error of the estimates against the number of genes.

Counts are drawn from known laws, a law a gene. The error of an estimate is given in standard
errors (of the observed information), so its root mean square should be 1; at most 500 genes are
compared. The time stands beside a loop of ``scipy.optimize`` over the genes, timed on 20 genes and
extrapolated. Writes ``results/priors.md`` and ``results/priors.png``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import gammaln
from threadpoolctl import threadpool_limits
from torch import Tensor

from stflow.flow import NB, Prior, fit_prior

RANGES = {"mu": (3.0, 50.0), "phi": (1.0, 10.0), "pi": (0.2, 0.7)}
KNOWN = {"zinb": ("mu", "phi", "pi"), "nb": ("mu", "phi")}
N_COMPARED = 500
N_LOOPED = 20
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """What was measured for one prior and number of genes."""

    prior: str
    n_genes: int
    seconds: float
    loop_seconds: float
    z: dict[str, float]
    relative: dict[str, float]


def simulate(name: str, n_spots: int, n_genes: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Draw counts of shape (N, G), and return them with the laws they follow."""
    rng = np.random.default_rng(n_genes)
    law = {}
    for key in KNOWN[name]:
        low, high = np.log(RANGES[key])
        law[key] = np.exp(rng.uniform(low, high, n_genes))
    mu, phi = law["mu"], law["phi"]
    counts = rng.poisson(rng.gamma(phi, mu / phi, (n_spots, n_genes)))
    counts *= rng.random(counts.shape) >= law.get("pi", 0.0)
    return torch.tensor(counts), {key: torch.tensor(value) for key, value in law.items()}


def standard_errors(prior: Prior, counts: Tensor, names: tuple[str, ...]) -> Tensor:
    """Return standard errors (G, P), from the curvature of the likelihood at the estimates."""
    if not isinstance(prior, NB):
        raise TypeError(f"{type(prior).__name__} has no likelihood.")
    for name in names:
        setattr(prior, name, getattr(prior, name).double().requires_grad_())
    free = [getattr(prior, name) for name in names]
    gradient = torch.autograd.grad(prior.log_prob(counts).sum(), free, create_graph=True)
    rows = [torch.autograd.grad(part.sum(), free, retain_graph=True) for part in gradient]
    hessian = torch.stack([torch.stack(row, -1) for row in rows], -2)
    return torch.linalg.inv(-hessian).diagonal(dim1=1, dim2=2).sqrt()


def fit_one(counts: np.ndarray, name: str) -> np.ndarray:
    """Fit one gene with scipy, on its distinct counts."""
    y, times = np.unique(counts, return_counts=True)

    def loss(x: np.ndarray) -> float:
        mu, phi = np.exp(x[:2])
        log_nb = gammaln(y + phi) - gammaln(phi) - gammaln(y + 1) - phi * np.log1p(mu / phi)
        log_nb = log_nb - y * np.log1p(phi / mu)
        if name == "zinb":
            pi = 1 / (1 + np.exp(-x[2]))
            kept = np.log1p(-pi) + log_nb
            log_nb = np.where(y > 0, kept, np.logaddexp(np.log(pi), kept))
        return -float(log_nb @ times)

    start = [np.log(counts.mean() + 1e-3), 0.0, 0.0][: len(KNOWN[name])]
    return minimize(loss, start, method="L-BFGS-B", bounds=[(-15.0, 15.0)] * len(start)).x


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Seconds a call takes when nothing else gets in its way."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(name: str, n_spots: int, n_genes: int, repeats: int) -> Row:
    """Time one size, and compare its estimates with the truth."""
    counts, law = simulate(name, n_spots, n_genes)
    few = counts[:, :N_LOOPED].T.numpy()
    prior = fit_prior(name, counts, {}, generator=torch.Generator())
    seconds = fastest(lambda: fit_prior(name, counts, {}, generator=torch.Generator()), repeats)
    loop = fastest(lambda: [fit_one(gene, name) for gene in few], repeats) / N_LOOPED * n_genes
    names, part = KNOWN[name], slice(0, N_COMPARED)
    for key in names:
        setattr(prior, key, getattr(prior, key)[part])
    errors = standard_errors(prior, counts[:, part], names)
    z, relative = {}, {}
    for column, key in enumerate(names):
        difference = getattr(prior, key).detach() - law[key][part]
        z[key] = (difference / errors[:, column]).square().mean().sqrt().item()
        relative[key] = (difference / law[key][part]).abs().median().item()
    return Row(name, n_genes, seconds, loop, z, relative)


def main() -> None:
    """Measure, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genes", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--spots", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    rows = [
        measure(name, options.spots, n_genes, options.repeats)
        for name in KNOWN
        for n_genes in options.genes
    ]
    ranges = ", ".join(f"{key} in {low:g} to {high:g}" for key, (low, high) in RANGES.items())
    lines = [
        "# Fitting the count priors",
        "",
        f"{options.spots:,} spots, laws drawn with {ranges}; one thread, "
        f"fastest of {options.repeats}; `python benchmarks/priors.py`. "
        "Error in standard errors (root mean square, 1 expected) and as a share of the true value "
        f"(median), over at most {N_COMPARED} genes. The loop is `scipy.optimize.minimize` gene by "
        f"gene, timed on {N_LOOPED} genes and extrapolated.",
        "",
        "| prior | genes | seconds | loop, seconds | loop / fit "
        "| error in se: mu, phi, pi | error: mu, phi, pi |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        z = ", ".join(f"{value:.2f}" for value in row.z.values())
        relative = ", ".join(f"{value:.1%}" for value in row.relative.values())
        lines.append(
            f"| {row.prior} | {row.n_genes:,} | {row.seconds:.3f} | {row.loop_seconds:.2f} "
            f"| {row.loop_seconds / row.seconds:.0f} | {z} | {relative} |"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "priors.md").write_text("\n".join([*lines, ""]))
    draw(rows)
    print("\n".join(lines))


def draw(rows: list[Row]) -> None:
    """Time, and error in standard errors, against the number of genes."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
    markers = {"mu": "o", "phi": "s", "pi": "^"}
    for colour, name in zip(("C0", "C1"), KNOWN, strict=True):
        mine = [row for row in rows if row.prior == name]
        genes = np.array([row.n_genes for row in mine])
        label = name.upper()
        left.plot(genes, [row.seconds for row in mine], "o-", color=colour, label=f"{label}, fit")
        loop = [row.loop_seconds for row in mine]
        left.plot(genes, loop, ":", color=colour, label=f"{label}, scipy loop")
        for place, key in enumerate(KNOWN[name]):
            shift = 1.17 ** (place + (1 if name == "nb" else -2))
            spread = 1 / np.sqrt(2 * np.minimum(genes, N_COMPARED))
            right.errorbar(
                genes * shift,
                [row.z[key] for row in mine],
                yerr=spread,
                fmt=markers[key],
                color=colour,
                label=f"{label}, {key}",
            )
    right.axhline(1, color="0.6", linewidth=1, zorder=0)
    right.set(ylim=(0, 1.5), ylabel="error in standard errors (rms)")
    left.set(yscale="log", ylabel="seconds")
    for ax in (left, right):
        ax.set(xscale="log", xlabel="genes", xticks=genes, xticklabels=[f"{n:,}" for n in genes])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8, ncols=1 if ax is left else 2)
    figure.savefig(RESULTS / "priors.png", dpi=120)


if __name__ == "__main__":
    main()
