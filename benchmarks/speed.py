"""Time and memory of the network against spots and genes, beside the equations as they stand.

Every row is measured in a process of its own, on spots of a jittered hexagonal lattice with
random features and an untrained network of the default size. The products of a layer alone are
timed in the same process: what the machine could do if nothing but matrix products took time.
``--full`` adds a million spots, from a zarr array through ``stf.tl.predict``. Writes
``results/speed.md`` and ``results/speed.png``.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
import zarr
from _dense import denoise
from anndata import AnnData

import stflow as stf
from stflow.model._config import Config
from stflow.model.denoiser._denoiser import Denoiser
from stflow.model.denoiser._sampling import CHUNK_SIZE, PRECISIONS, SlideSampler
from stflow.slide._graph import knn_graph

RESULTS = Path(__file__).parent / "results"
N_FEATURES, N_STEPS, K = 128, 5, 8
CPU = torch.device("cpu")


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_gib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def tissue(n_spots: int) -> np.ndarray:
    """Centres of a hexagonal lattice with the jitter of real coordinates, in micrometres."""
    side = int(np.ceil(np.sqrt(n_spots)))
    column, row = np.meshgrid(np.arange(side), np.arange(side))
    grid = np.stack([column + row % 2 / 2, row * np.sqrt(3) / 2], axis=-1).reshape(-1, 2)
    return 100 * grid[:n_spots] + np.random.default_rng(0).normal(0, 1, (n_spots, 2))


def untrained(n_genes: int) -> Denoiser:
    """Build a network of the default size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Denoiser(N_FEATURES, n_genes, Config()).eval()


def products(n_genes: int, degree: float, dtype: torch.dtype) -> tuple[float, float]:
    """Arithmetic of a layer and its head, FLOP a spot, and microseconds that it takes alone."""
    n, d = CHUNK_SIZE["cpu"], Config().hidden
    width, edges = d // Config().n_heads, int(n * degree)
    shapes = [(n, d, d)] * 3 + [(n, n_genes, d), (edges, width, d), (edges, d, 4), (n, width, d)]
    shapes += [(n, 2 * d, d), (n, d, d), (n, d, 2 * d), (n, 2 * d, d), (n, d, d), (n, d, n_genes)]
    pairs = [(torch.randn(a, b).to(dtype), torch.randn(c, b).to(dtype)) for a, b, c in shapes]

    def multiply() -> None:
        for left, right in pairs:
            torch.nn.functional.linear(left, right)

    best = min(seconds(multiply) for _ in range(30))
    return sum(2 * a * b * c for a, b, c in shapes) / n, best / n * 1e6


@torch.inference_mode()
def measure(n_spots: int, n_genes: int, precision: str) -> dict[str, float]:
    """Five evaluations: once with all that is computed once, then again."""
    coords, rng = tissue(n_spots), torch.Generator().manual_seed(0)
    graph, _ = knn_graph(coords, K)
    features = torch.randn(n_spots, N_FEATURES, generator=rng)
    y0 = torch.rand(1, n_spots, n_genes, generator=rng)
    network, before = untrained(n_genes), peak_gib()
    start = time.perf_counter()
    evaluation = SlideSampler(network, features, coords, graph, device=CPU, precision=precision)
    evaluation.sample(y0, N_STEPS)
    first = time.perf_counter() - start
    repeats = max(1, min(5, 20_000 // n_spots))
    again = min(seconds(lambda: evaluation.sample(y0, N_STEPS)) for _ in range(repeats))
    flop, alone = products(n_genes, graph.nnz / n_spots, PRECISIONS[precision])
    layers = N_STEPS * Config().n_layers
    return {
        "spots": n_spots,
        "genes": n_genes,
        "first": first / n_spots * 1e6,
        "again": again / n_spots * 1e6,
        "gflops": flop * layers * n_spots / again / 1e9,
        "products_gflops": flop / alone / 1e3,
        "extra_gib": peak_gib() - before,
    }


@torch.inference_mode()
def compare(n_spots: int, n_genes: int, precision: str) -> dict[str, float]:
    """One evaluation of ours and of the equations as they stand, whose peak comes last."""
    coords, rng = tissue(n_spots), torch.Generator().manual_seed(0)
    graph, _ = knn_graph(coords, K)
    features = torch.randn(n_spots, N_FEATURES, generator=rng)
    y0, network = torch.rand(n_spots, n_genes, generator=rng), untrained(n_genes)
    places, found = torch.from_numpy(coords), {}

    def ours() -> None:
        evaluation = SlideSampler(network, features, coords, graph, device=CPU, precision=precision)
        found["ours"] = evaluation.sample(y0[None], N_STEPS)[0]

    def theirs() -> None:
        y = y0
        for step in range(N_STEPS):
            y_hat = denoise(network, y, features, places, step / N_STEPS, K)
            y = torch.lerp(y, y_hat, 1 / (N_STEPS - step))
        found["dense"] = y

    start = peak_gib()
    result = {"spots": n_spots, "genes": n_genes, "ours_s": seconds(ours)}
    middle = peak_gib()
    result |= {"dense_s": seconds(theirs), "ours_gib": middle - start}
    worst = float((found["ours"] - found["dense"]).abs().max() / found["dense"].std())
    return result | {"dense_gib": peak_gib() - middle, "difference": worst}


def million(n_spots: int, n_genes: int, precision: str) -> dict[str, float]:
    """``stf.tl.predict`` from an embedding on disk, with everything around it."""
    rng, width = np.random.default_rng(0), 512
    with tempfile.TemporaryDirectory() as folder:
        chunks = (8192, width)
        shape = (n_spots, width)
        path = Path(folder, "embedding.zarr")
        embedding = zarr.create_array(path, shape=shape, chunks=chunks, dtype="f4")
        for first in range(0, n_spots, 8192):
            size = min(8192, n_spots - first)
            embedding[first : first + size] = rng.standard_normal((size, width), dtype=np.float32)
        train = labelled(embedding[:400], n_genes)
        model = stf.tl.fit(
            train, genes=list(train.var_names), max_epochs=1, device="cpu", show_progress_bar=False
        )
        slide = AnnData(
            sp.csr_matrix((n_spots, n_genes), dtype=np.float32),
            obs=pd.DataFrame(index=np.arange(n_spots).astype(str)),
            var=pd.DataFrame(index=list(model.genes)),
            obsm={"spatial": tissue(n_spots), "X_embedding": embedding},
        )
        neighbours = seconds(lambda: stf.pp.neighbors(slide))
        graph_gib = peak_gib()
        how = {"n_samples": 1, "n_steps": N_STEPS, "precision": precision, "device": "cpu"}

        def predict() -> None:
            stf.tl.predict(slide, model, **how)

        return {
            "spots": n_spots,
            "genes": n_genes,
            "neighbours_s": neighbours,
            "predict_s": seconds(predict),
            "graph_gib": graph_gib,
            "peak_gib": peak_gib(),
        }


def labelled(embedding: np.ndarray, n_genes: int) -> AnnData:
    """Make a small slide to fit on."""
    counts = np.random.default_rng(1).poisson(1.0, (len(embedding), n_genes))
    table = AnnData(
        sp.csr_matrix(counts.astype(np.int32)),
        var=pd.DataFrame(index=[f"GENE{i}" for i in range(n_genes)]),
        obsm={"spatial": tissue(len(embedding)), "X_embedding": embedding},
    )
    stf.pp.neighbors(table)
    return table


CASES = {"measure": measure, "compare": compare, "million": million}


def run(case: str, n_spots: int, n_genes: int, precision: str = "float32") -> dict[str, float]:
    """Run a case in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, "--case", case]
    command += ["--spots", str(n_spots), "--genes", str(n_genes), "--precision", precision]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout.strip().splitlines()[-1], flush=True)
    return {"precision": precision, **json.loads(done.stdout.strip().splitlines()[-1])}


def as_rows(frame: pd.DataFrame, columns: dict[str, tuple[str, str]]) -> list[str]:
    """Write a Markdown table: column of the frame -> heading and format."""
    lines = [[heading for heading, _ in columns.values()], ["---"] * len(columns)]
    for record in frame.to_dict("records"):
        lines.append([format(record[name], how) for name, (_, how) in columns.items()])
    return ["| " + " | ".join(line) + " |" for line in lines]


def report(frames: dict[str, pd.DataFrame]) -> str:
    """All tables."""
    timing = {
        "precision": ("precision", ""),
        "spots": ("spots", ",.0f"),
        "genes": ("genes", ",.0f"),
        "first": ("first sample, us a spot", ".0f"),
        "again": ("next samples, us a spot", ".0f"),
        "gflops": ("GFLOP/s", ".0f"),
        "products_gflops": ("products alone, GFLOP/s", ".0f"),
        "share": ("share", ".0%"),
        "extra_gib": ("memory beside the input, GiB", ".2f"),
    }
    dense = {
        "spots": ("spots", ",.0f"),
        "ours_s": ("ours, s", ".2f"),
        "dense_s": ("as they stand, s", ".1f"),
        "ratio": ("ratio", ".0f"),
        "ours_gib": ("ours, GiB more", ".2f"),
        "dense_gib": ("as they stand, GiB more", ".2f"),
        "difference": ("largest difference, sd", ".0e"),
    }
    whole = {
        "precision": ("precision", ""),
        "spots": ("spots", ",.0f"),
        "neighbours_s": ("stf.pp.neighbors, s", ".0f"),
        "predict_s": ("stf.tl.predict, s", ".0f"),
        "peak_gib": ("peak of the process, GiB", ".1f"),
    }
    parts = [
        "# Speed of the network",
        "",
        f"A sample takes {N_STEPS} evaluations; {K} neighbours, d = {Config().hidden}, "
        f"{Config().n_layers} layers; {torch.get_num_threads()} threads, {processor()}, torch "
        f"{torch.__version__.partition('+')[0]}. The share is that of the rate at which the "
        "layers' matrix products run alone, in the same process and shapes; everything else "
        "(gathering neighbours, softmax, activations, norms) counts as no work. "
        "`python benchmarks/speed.py --full`; without `--full` up to 100,000 spots.",
        "",
        "## Against the number of spots",
        "",
        *as_rows(frames["spots"], timing),
        "",
        "## Against the number of genes",
        "",
        *as_rows(frames["genes"], timing),
        "",
        f"## Beside the equations as they stand (one sample, {frames['dense'].genes[0]} genes)",
        "",
        *as_rows(frames["dense"], dense),
    ]
    if "whole" in frames:
        parts += ["", "## A million spots from disk", "", *as_rows(frames["whole"], whole)]
    return "\n".join([*parts, ""])


def processor() -> str:
    """Name of the processor, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def draw(frames: dict[str, pd.DataFrame]) -> None:
    """Time a spot against spots and genes, and both forms beside each other."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.1), layout="constrained")
    for ax, name, x in ((axes[0], "spots", "spots"), (axes[1], "genes", "genes")):
        for precision, rows in frames[name].groupby("precision", sort=False):
            ax.plot(rows[x], rows["again"], marker="o", label=precision)
        ax.set(xscale="log", xlabel=x, ylabel="microseconds a spot and sample")
    axes[0].set_ylim(bottom=0)
    axes[1].set(yscale="log", yticks=(50, 100, 200, 400, 800))
    axes[1].yaxis.set_major_formatter("{x:.0f}")
    axes[0].legend(frameon=False)
    both = frames["dense"]
    for column, label in (("ours_s", "stflow"), ("dense_s", "as the equations stand")):
        axes[2].plot(both["spots"], both[column], marker="o", label=label)
    axes[2].set(xscale="log", yscale="log", xlabel="spots", ylabel="seconds a sample")
    axes[2].legend(frameon=False)
    for ax, name in zip(axes, ("spots", "genes", "dense"), strict=True):
        x = sorted(set(frames[name]["genes" if name == "genes" else "spots"]))
        ax.set_xticks(x, [f"{value:,}" for value in x])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "speed.png", dpi=120)


def main() -> None:
    """Measure, and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="up to a million spots")
    for name, default in {"--case": None, "--spots": "0", "--genes": "0"}.items():
        parser.add_argument(name, default=default, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.case:
        print(json.dumps(CASES[args.case](int(args.spots), int(args.genes), args.precision)))
        return
    sizes = [("float32", n) for n in [1_000, 10_000, 100_000] + [1_000_000] * args.full]
    sizes += [("bfloat16", n) for n in (1_000, 10_000, 100_000)]
    panels, dense = [50, 500, 5_000], [500, 1_000, 2_000, 4_000]
    frames = {
        "spots": [
            run("measure", n, 50, p)
            for p, n in sorted(sizes, key=lambda size: size[0] != "float32")
        ],
        "genes": [run("measure", 4_096, g, p) for p in PRECISIONS for g in panels],
        "dense": [run("compare", n, 50) for n in dense],
    }
    if args.full:
        frames["whole"] = [run("million", 1_000_000, 50, p) for p in PRECISIONS]
    tables = {name: pd.DataFrame(rows) for name, rows in frames.items()}
    for name in ("spots", "genes"):
        tables[name]["share"] = tables[name]["gflops"] / tables[name]["products_gflops"]
    tables["dense"]["ratio"] = tables["dense"]["dense_s"] / tables["dense"]["ours_s"]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.md").write_text(report(tables))
    draw(tables)
    print(report(tables))


if __name__ == "__main__":
    main()
