"""How wide to look at spots 10 um apart: boxes and tiles of several widths, synthetic tissue.

Three slides of a known law, each predicted from the other two by kernel ridge from
several embeddings; beside the measured counts stands the law itself. Writes
``results/small_boxes.md`` and ``.png``.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd

import stflow as stf

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
TISSUE: dict[str, Any] = {"n_spots": 900, "pitch_um": 10.0, "image_mpp": 0.25}
METHODS = ("kernel_ridge", "reduced_rank")
WIDE = (112, 224, 448)
LOOKS: dict[str, dict[str, Any]] = {
    "tiles of 112, 224, 448 um (default widths)": {"how": "tiles", "widths_um": WIDE},
    "boxes of 112, 224, 448 um (default)": {"how": "area", "widths_um": WIDE},
    "tiles of 112 um": {"how": "tiles", "widths_um": 112},
    "boxes of 112 um": {"how": "area", "widths_um": 112},
    "boxes of 32 um": {"how": "area", "widths_um": 32, "mpp": 0.25},
    "boxes of 16 um": {"how": "area", "widths_um": 16, "mpp": 0.25},
    "boxes of 8 um": {"how": "area", "widths_um": 8, "mpp": 0.25},
    "boxes of 16, 32, 64 um": {"how": "area", "widths_um": (16, 32, 64), "mpp": 0.25},
}
HEAD = [
    "# Boxes at a pitch of 10 um",
    "",
    "Mean Pearson correlation over 50 genes, log1p of raw counts, mean over three slides of 900",
    "synthetic spots 10 um apart, each predicted from the other two. `python",
    "benchmarks/small_boxes.py`.",
    "",
]


def score(look: dict[str, Any]) -> pd.Series:
    """Mean correlation of each method, over genes and folds."""
    slides = stf.datasets.synthetic(3, **TISSUE)
    for sdata in slides.values():
        stf.pp.embed(sdata, show_progress_bar=False, **look)
        stf.pp.neighbors(sdata)
    table = stf.tl.cross_validate(
        slides, methods=list(METHODS), units="counts", min_counts=0, show_progress_bar=False
    )
    return table.groupby("method").pearson.mean()


def main() -> None:
    """Score every way of looking, and write what came out."""
    warnings.filterwarnings("ignore", message=".*wider than image.*|.*bare glass.*|.*finer than.*")
    found = pd.DataFrame({name: score(look) for name, look in LOOKS.items()}).T[list(METHODS)]
    lines = [
        f"| {name} | " + " | ".join(f"{v:.3f}" for v in row) + " |"
        for name, *row in found.itertuples()
    ]
    table = [f"| embedding | {' | '.join(METHODS)} |", "| --- | --- | --- |", *lines]
    (RESULTS / "small_boxes.md").write_text("\n".join([*HEAD, *table, ""]))
    axes = found.plot.barh(figsize=(7, 3.5), color=["0.6", "C0"], width=0.75)
    axes.invert_yaxis()
    axes.set_xlabel("mean Pearson correlation, slide left out")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncol=2)
    plt.tight_layout()
    plt.savefig(RESULTS / "small_boxes.png", dpi=150)


if __name__ == "__main__":
    main()
