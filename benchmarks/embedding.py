"""Speed of ``stf.pp.embed``: tiles per second, and the share of the time that is reading.

Reading is timed alone, over the same tiles, on an image that is already decoded; the first line
is the decoding. Writes ``results/embedding.md`` and ``results/embedding.png``.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from spatialdata import SpatialData

import stflow as stf
from stflow._sdata._images import spots_on_image
from stflow._sdata._tables import get_regions
from stflow.encoders import get_encoder
from stflow.images import read_tiles

MPP = (0.5, 1.0)
TILE_PX = 224
RESULTS = Path(__file__).parent / "results"


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def read_all(sdata: SpatialData) -> list[np.ndarray]:
    """Read every tile at every scale, as `stf.pp.embed` does."""
    table = sdata["table"]
    place = spots_on_image(sdata, table, get_regions(table)[0])
    return [
        tiles
        for mpp in MPP
        for _, tiles in read_tiles(
            place.levels,
            place.centres_px,
            size=TILE_PX * mpp / place.mpp,
            tile_px=TILE_PX,
            batch_size=8,
        )
    ]


def main() -> None:
    """Measure, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    warnings.filterwarnings("ignore")
    sdata = stf.datasets.her2st("C2")
    decoding = seconds(lambda: sdata["he"]["scale0"]["image"][:, :1, :1].compute())
    encoder = get_encoder("efficientnet_lite0")
    tiles = read_all(sdata)
    n_tiles = sum(map(len, tiles))
    encoder.encode(tiles[0])
    figures = {
        "reading": lambda: read_all(sdata),
        "encoding": lambda: [encoder.encode(batch) for batch in tiles],
        "stf.pp.embed": lambda: stf.pp.embed(
            sdata, mpp=MPP, inplace=False, device="cpu", show_progress_bar=False
        ),
    }
    timed = {name: [seconds(work) for _ in range(repeats)] for name, work in figures.items()}
    median = {name: float(np.median(values)) for name, values in timed.items()}
    rows = [
        "# Speed of stf.pp.embed on section C2",
        "",
        f"{n_tiles} tiles of {TILE_PX} px at mpp {MPP}, efficientnet_lite0 with pooled stages, "
        f"{torch.get_num_threads()} threads on {os.cpu_count()} cores, median of {repeats}; "
        "`python benchmarks/embedding.py`.",
        "",
        "| step | seconds | tiles per second | share of embed |",
        "|---|---|---|---|",
        f"| decoding the JPEG, once | {decoding:.1f} | | |",
    ]
    for name, value in median.items():
        share = value / median["stf.pp.embed"]
        rows.append(f"| {name} | {value:.2f} | {n_tiles / value:.1f} | {share:.0%} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "embedding.md").write_text("\n".join([*rows, ""]))
    draw(median, n_tiles)
    print("\n".join(rows))


def draw(median: dict[str, float], n_tiles: int) -> None:
    """Milliseconds a tile of each step."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5.5, 2.0), layout="constrained")
    ax.barh(list(median), [1000 * value / n_tiles for value in median.values()])
    ax.set(xlabel="milliseconds a tile")
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "embedding.png", dpi=120)


if __name__ == "__main__":
    main()
