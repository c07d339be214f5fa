"""Speed, memory and precision of ``stf.pp.embed``.

The speed is measured on section C2, on a lattice of 80 um, beside a loop that reads one crop after
the other and encodes batches of 16 with timm's network as it comes, in float32; the two sides take
turns, and medians of the repeats are compared. Memory is measured in processes of their own on
pyramids whose blocks are made when they are read, with as many spots on each. Precision is measured
on four sections. Writes ``results/embedding.md`` and ``results/embedding.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import matplotlib
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from PIL import Image
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel, TableModel

import stflow as stf
from stflow._sdata import get_regions
from stflow._sdata.places import spots_on_image
from stflow.embedding._prepare import prepare
from stflow.encoders import get_encoder
from stflow.encoders.families._timm import create_lite0
from stflow.images import read_tiles
from stflow.metrics import pearson
from stflow.model import Features, KernelPath
from stflow.slide import Slide, measured_spots, spot_weights

ENCODER, MPP, TILE_PX, BATCH, PLAIN_BATCH = "efficientnet_lite0", 0.5, 224, 8, 16
SECTIONS, BOTH = ("C2", "C3", "C4", "C5"), (0.5, 1.0)
SIDES, PER_SIDE, CHUNK = (2_000, 20_000, 60_000), 20, 2_000
PITCH_UM = 80
WIDTH, PENALTY = 0.3, 0.5
RESULTS = Path(__file__).parent / "results"


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lay out rows as a table in Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return [*lines, *("| " + " | ".join(map(str, row.values())) + " |" for row in rows), ""]


def crops(sdata: SpatialData) -> Iterator[np.ndarray]:
    """Read one crop after the other, from level 0."""
    place = spots_on_image(sdata, sdata["table"], get_regions(sdata["table"])[0])
    data, size = place.levels[0].data, TILE_PX * MPP / place.mpp
    for centre in place.centres_px:
        low = np.round(centre - size / 2).astype(int).clip(0)
        high = np.round(centre + size / 2).astype(int)
        crop = np.asarray(data[:, low[1] : high[1], low[0] : high[0]])
        image = Image.fromarray(np.ascontiguousarray(np.moveaxis(crop, 0, -1)))
        yield np.asarray(image.resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC))


@torch.inference_mode()
def plain(sdata: SpatialData, model: torch.nn.Module) -> torch.Tensor:
    """Encode batches of single crops in float32."""
    vectors, batch = [], []
    for crop in crops(sdata):
        batch.append((torch.from_numpy(crop).permute(2, 0, 1) / 255 - 0.5) / 0.5)
        if len(batch) == PLAIN_BATCH:
            vectors.append(model(torch.stack(batch)))
            batch = []
    return torch.cat([*vectors, model(torch.stack(batch))] if batch else vectors)


def tiles_of(sdata: SpatialData) -> list[np.ndarray]:
    """All tiles, read in the calling thread."""
    place = spots_on_image(sdata, sdata["table"], get_regions(sdata["table"])[0])
    given = {"size": TILE_PX * MPP / place.mpp, "tile_px": TILE_PX, "batch_size": BATCH}
    return [tiles for _, tiles in read_tiles(place.levels, place.centres_px, **given)]


def embed(sdata: SpatialData, **kwargs: Any) -> np.ndarray:
    """Embed on the CPU, write nothing."""
    given = {"inplace": False, "device": "cpu", "show_progress_bar": False, "cache": False}
    given |= {"how": "tiles", "mpp": MPP}
    return stf.pp.embed(sdata, **{**given, **kwargs}).obsm["X_embedding"]


def speed(repeats: int) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Milliseconds a tile, sides taking turns."""
    sdata = stf.datasets.her2st("C2")
    stf.pp.detect_tissue(sdata)
    stf.pp.grid(sdata, PITCH_UM, overwrite=True)
    model = create_lite0().eval()
    tiles = tiles_of(sdata)
    fast = prepare(get_encoder(ENCODER), precision="auto", tile_px=TILE_PX)
    works: dict[str, Callable[[], object]] = {
        "loop: reading crops": lambda: list(crops(sdata)),
        "loop: reading and encoding, timm in float32": lambda: plain(sdata, model),
        "embed: reading alone": lambda: tiles_of(sdata),
        "embed: encoding alone": lambda: [fast.encode(batch) for batch in tiles],
        "stf.pp.embed": lambda: embed(sdata),
        "stf.pp.embed, pooling final": lambda: embed(sdata, pooling="final"),
        "stf.pp.embed, precision float32": lambda: embed(sdata, precision="float32"),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            taken[name].append(seconds(work))
    n = sum(map(len, tiles))
    median = {name: 1000 * float(np.median(values)) / n for name, values in taken.items()}
    loop = median["loop: reading and encoding, timm in float32"]
    rows = [
        {
            "what": name,
            "ms a tile": f"{value:.1f}",
            "tiles per second": f"{1000 / value:.0f}",
            "the loop takes": f"{loop / value:.1f} times as long" if "stf" in name else "",
        }
        for name, value in median.items()
    ]
    return rows, median


def pyramid(side: int) -> SpatialData:
    """Spots on a square image of four levels whose blocks are made when they are read."""

    def block(block_info: Any = None) -> np.ndarray:
        where, shape = block_info[None]["chunk-location"], block_info[None]["chunk-shape"]
        return np.full(shape, 90 + sum(where) % 160, dtype=np.uint8)

    def level(size: int) -> da.Array:
        full, rest = divmod(size, CHUNK)
        pieces = (CHUNK,) * full + ((rest,) if rest else ())
        nothing = np.empty((0, 0, 0), dtype=np.uint8)
        return da.map_blocks(block, chunks=((3,), pieces, pieces), dtype=np.uint8, meta=nothing)

    image = Image2DModel.parse(level(side), dims="cyx", c_coords=list("rgb"))
    line = (np.arange(PER_SIDE) + 0.5) * side / PER_SIDE
    centres = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    names = [f"s{i}" for i in range(len(centres))]
    spots = ShapesModel.parse(centres, geometry=0, radius=50, index=pd.Index(names))
    obs = pd.DataFrame({"region": pd.Categorical(["spots"] * len(names)), "spot_id": names})
    obs.index = obs.index.astype(str)
    counts = AnnData(np.zeros((len(names), 1), np.float32), obs=obs)
    counts = TableModel.parse(counts, region="spots", region_key="region", instance_key="spot_id")
    attrs = {"slide_properties": {"mpp": MPP}}
    return SpatialData(
        images={"he": image}, shapes={"spots": spots}, tables={"table": counts}, attrs=attrs
    )


def peak_gib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_side(side: int) -> None:
    """Print time and memory for one image; run in a process of its own."""
    encoder = prepare(get_encoder(ENCODER), precision="auto", tile_px=TILE_PX)
    blank = np.zeros((BATCH, TILE_PX, TILE_PX, 3), dtype=np.uint8)
    for _ in range(3):
        encoder.encode(blank)
    before = peak_gib()
    sdata = pyramid(side)
    taken = seconds(lambda: embed(sdata))
    print(json.dumps({"before": before, "peak": peak_gib(), "embed": taken}))


def memory() -> list[dict[str, Any]]:
    """Time and memory for images of different sizes."""
    rows = []
    for side in SIDES:
        command = [sys.executable, __file__, "--side", str(side)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = json.loads(answer.splitlines()[-1])
        rows.append(
            {
                "image, px": f"{side:,} x {side:,}",
                "raw pixels, GiB": f"{3 * side**2 / 2**30:.2f}",
                "tiles": PER_SIDE**2,
                "tiles per second": f"{PER_SIDE**2 / found['embed']:.0f}",
                "memory beside the encoder's, GiB": f"{found['peak'] - found['before']:.2f}",
            }
        )
    return rows


def correlation(train: list[Slide], test: Slide) -> float:
    """Mean Pearson correlation over genes, of the model's kernel on a section left out.

    Its width and penalty are fixed, so that no choice among them jumps with the last digits.
    """
    features = Features.fit(train, 64, seed=0)
    inputs = [features(slide.embedding, slide.graph).numpy() for slide in train]
    measured = np.concatenate([np.asarray(slide.expression) for slide in train])
    how: dict[str, Any] = {"weights": np.concatenate(spot_weights(train)), "width": WIDTH}
    path = KernelPath.fit(np.concatenate(inputs), measured, seed=0, **how)
    unseen = features(test.embedding, test.graph).numpy()
    predicted = path.predict(path.lift(unseen), PENALTY)
    return float(np.nanmean(pearson(np.asarray(test.expression), predicted)))


def precision() -> tuple[list[dict[str, Any]], float]:
    """Cosines of vectors in bfloat16 with those of float32, and scores of both and mixed."""
    data = {name: stf.datasets.her2st(name) for name in SECTIONS}
    genes = stf.pp.select_genes(data, n_top_genes=50)
    cosine: dict[str, np.ndarray] = {}
    slides: dict[str, dict[str, Any]] = {"float32": {}, "bfloat16": {}}
    for name, sdata in data.items():
        stf.pp.neighbors(sdata)
        made = {kind: embed(sdata, mpp=BOTH, precision=kind) for kind in slides}
        halves = [np.split(vectors, len(BOTH), axis=1) for vectors in made.values()]
        cosine[name] = np.concatenate([cosines(*pair) for pair in zip(*halves, strict=True)])
        for kind, vectors in made.items():
            sdata["table"].obsm["X_embedding"] = vectors
            (slide,) = stf.get.slides({name: sdata}, genes)
            slides[kind][name] = measured_spots(slide, None)
    rows, largest = [], 0.0
    for name in SECTIONS:
        train = {k: [s for other, s in slides[k].items() if other != name] for k in slides}
        full = correlation(train["float32"], slides["float32"][name])
        low = correlation(train["bfloat16"], slides["bfloat16"][name])
        mixed = correlation(train["float32"], slides["bfloat16"][name])
        largest = max(largest, abs(low - full), abs(mixed - full))
        rows.append(
            {
                "section left out": name,
                "least cosine": f"{cosine[name].min():.5f}",
                "median cosine": f"{np.median(cosine[name]):.5f}",
                "score, float32": f"{full:.4f}",
                "bfloat16": f"{low:.4f}",
                "trained on float32, tested on bfloat16": f"{mixed:.4f}",
            }
        )
    return rows, largest


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / norms


def draw(median: dict[str, float]) -> None:
    """Milliseconds a tile."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
    bars = ax.barh(list(median), list(median.values()))
    ax.bar_label(bars, fmt="%.1f", padding=3)
    ax.set(xlabel="milliseconds a tile")
    ax.invert_yaxis()
    ax.margins(x=0.1)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "embedding.png", dpi=120)


def main() -> None:
    """Measure, and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if arguments.side:
        measure_side(arguments.side)
        return
    load = os.getloadavg()[0]
    speeds, median = speed(arguments.repeats)
    sizes = memory()
    precisions, largest = precision()
    hidden = 1 - median["embed: encoding alone"] / median["stf.pp.embed"]
    rows = [
        "# Speed, memory and precision of stf.pp.embed",
        "",
        f"{ENCODER}, tiles of {TILE_PX} px at {MPP} um a pixel, {torch.get_num_threads()} threads "
        f"on {os.cpu_count()} cores that had a load of {load:.1f} before; "
        "`python benchmarks/embedding.py`.",
        "",
        f"## Section C2 on a lattice of {PITCH_UM} um, medians of {arguments.repeats}, in turns",
        "",
        *table(speeds),
        f"Of the time that embedding takes, {hidden:.0%} is not encoding: reading that is not "
        "hidden behind the encoder, and preparing the network. The JPEG was decoded before, for "
        "both.",
        "",
        f"## Images of any size, {PER_SIDE**2} tiles spread over each",
        "",
        *table(sizes),
        "## bfloat16 beside float32, two scales, the model's kernel, 50 genes, counts per 10,000",
        "",
        *table(precisions),
        f"Scores differ by {largest:.4f} at most.",
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "embedding.md").write_text("\n".join(rows))
    draw(median)
    print("\n".join(rows))


if __name__ == "__main__":
    main()
