"""One pass over the tissue beside tiles: cost by spots and bins, and where the time goes.

Squares in the middle of section C2 are covered with ever denser lattices, from
spots 200 um apart to bins of 8 um, at three widths. Tiles are encoded for some spots and
extrapolated; both sides
run one after the other in one process with one thread for the network, and CPU seconds are
compared. Writes ``results/area.md`` and ``results/area.png``.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import ShapesModel, TableModel

import stflow as stf
from stflow.embedding import _boxes as boxes
from stflow.embedding import _maps as maps
from stflow.embedding import _pieces as pieces

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
WIDTHS_UM = (112, 224, 448)
N_TILES = 600
RUNS = ((2_400, 200), (2_400, 93), (2_400, 32), (2_400, 8), (6_300, 93), (6_300, 8))
HEAD = [
    "# One pass over the tissue",
    "",
    "Squares in the middle of section C2, three widths, each at its own scale, on the CPU with one",
    "thread for the network and other work beside; tiles are extrapolated from a few hundred.",
    "",
]
PARTS = {
    "network": (maps.Maps, "_run"),
    "waiting for the image": (pieces.Pieces, "_read"),
    "sliding means": (boxes, "window_means"),
    "boxes": (boxes, "read_windows"),
}


def covered(side_um: float, pitch_um: float) -> SpatialData:
    """Cover a square in the middle of section C2 with a square lattice of spots."""
    sdata = stf.datasets.her2st("C2")
    mpp = sdata.attrs["slide_properties"]["mpp"]
    at = np.arange(pitch_um / 2, side_um, pitch_um) / mpp
    sizes = sdata["he"]["scale0"].sizes
    corner = (np.array([sizes["x"], sizes["y"]]) - side_um / mpp) / 2
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2) + corner
    shapes = ShapesModel.parse(points, geometry=0, radius=pitch_um / 2 / mpp)
    obs = pd.DataFrame({"region": pd.Categorical(["spots"] * len(points)), "spot": shapes.index})
    obs.index = obs.index.astype(str)
    table = TableModel.parse(
        AnnData(obs=obs), region="spots", region_key="region", instance_key="spot"
    )
    table.obsm["spatial"] = points
    return SpatialData(
        images={"he": sdata["he"]},
        shapes={"spots": shapes},
        tables={"table": table},
        attrs=sdata.attrs,
    )


def embed(sdata: SpatialData, **how: Any) -> float:
    """CPU seconds of an embedding that is written nowhere."""
    start = time.process_time()
    stf.pp.embed(sdata, inplace=False, device="cpu", cache=False, show_progress_bar=False, **how)
    return time.process_time() - start


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Add up the seconds of the thread that are spent in each part."""
    spent: dict[str, float] = defaultdict(float)
    plain = {name: getattr(*place) for name, place in PARTS.items()}

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            start = time.thread_time()
            try:
                return call(*args)
            finally:
                spent[name] += time.thread_time() - start

        return run

    for name, place in PARTS.items():
        setattr(*place, timed(name, plain[name]))
    try:
        yield spent
    finally:
        for name, place in PARTS.items():
            setattr(*place, plain[name])


def tile_seconds(sdata: SpatialData, n_tiles: int) -> float:
    """CPU seconds of a tile, on average over the three widths."""
    n_spots = sdata["table"].n_obs
    rows = np.unique(np.linspace(0, n_spots - 1, n_tiles // len(WIDTHS_UM)).astype(int))
    table = sdata["table"][rows].copy()
    few = SpatialData(
        images=dict(sdata.images),
        shapes=dict(sdata.shapes),
        tables={"table": table},
        attrs=sdata.attrs,
    )
    return embed(few, how="tiles", widths_um=WIDTHS_UM) / (len(rows) * len(WIDTHS_UM))


def compare(side_um: float, pitch_um: float, n_tiles: int) -> dict[str, Any]:
    """Cost of one pass and of tiles."""
    sdata = covered(side_um, pitch_um)
    n_spots = sdata["table"].n_obs
    each = tile_seconds(sdata, n_tiles)
    with watched() as spent:
        area = embed(sdata, widths_um=WIDTHS_UM)
    tiles = each * n_spots * len(WIDTHS_UM)
    return {
        "pitch (um)": pitch_um,
        "area (mm2)": round(side_um**2 / 1e6, 1),
        "spots": n_spots,
        "tiles (CPU s)": round(tiles),
        "one pass (CPU s)": round(area, 1),
        "ratio": round(tiles / area, 1),
        **{name: f"{spent[name] / area:.0%}" for name in PARTS},
        "peak memory (GiB)": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """CPU seconds against spots, both ways."""
    _, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    spots = [row["spots"] for row in rows]
    for name, colour in (("tiles (CPU s)", "tab:gray"), ("one pass (CPU s)", "tab:blue")):
        axes.plot(spots, [row[name] for row in rows], "o-", color=colour, label=name)
    for row in rows:
        below = -16 if row["ratio"] > 1 else 8
        axes.annotate(f"{row['ratio']:.3g} x", (row["spots"], row["one pass (CPU s)"]), (0, below),
                      textcoords="offset points", ha="center")  # fmt: skip
    axes.margins(0.12, 0.12)
    axes.set(xscale="log", yscale="log", xlabel="spots on the same tissue", ylabel="CPU seconds")
    axes.legend(frameon=False)
    plt.savefig(path, dpi=150)


def main() -> None:
    """Print the table, and write it and the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=N_TILES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [compare(side, pitch, given.tiles) for side, pitch in RUNS]
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
    print("\n".join(lines))
    RESULTS.mkdir(exist_ok=True)
    note = "Shares are of the CPU seconds of one pass; peak memory is that of the process so far."
    processor = f"The processor computes with {torch.backends.cpu.get_cpu_capability()}."
    (RESULTS / "area.md").write_text("\n".join([*HEAD, *lines, "", note, processor, ""]))
    draw([row for row in rows if row["area (mm2)"] < 10], RESULTS / "area.png")


if __name__ == "__main__":
    main()
