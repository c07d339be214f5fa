"""Small cohorts on disk, and what may befall them. Workers import this file too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from spatialdata import SpatialData
from support import SMALL, colours
from torch import nn

import stflow as stf

MPP = 4.0
QUIET = {"show_progress_bar": False, "device": "cpu"}
HOW = {"n_samples": 2, "n_steps": 2, **QUIET}


class Shades(nn.Module):
    """Colours of a tile, weighed; it has weights, so that its vectors can be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.linspace(0.5, 1.5, 12))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return colours(tiles) * self.weights


def embedded(n_slides: int, seed: int = 0) -> dict[str, SpatialData]:
    """Slides with spots and counts, ready to fit."""
    how = {"n_spots": 36, "n_genes": 12, "image_mpp": MPP, "seed": seed}
    slides = stf.datasets.synthetic(n_slides, **how)
    for sdata in slides.values():
        stf.pp.embed(sdata, encoder=Shades(), mpp=8.0, tile_px=28, **QUIET)
        stf.pp.neighbors(sdata)
    return slides


def fitted() -> stf.STFlow:
    """A model fitted in passing."""
    slides = embedded(3)
    genes = stf.pp.select_genes(slides, n_top_genes=5)
    return stf.tl.fit(slides, genes=genes, **SMALL)


def write_slides(folder: Path, n_slides: int) -> pd.DataFrame:
    """Write images alone, and return their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    how = {"n_spots": 36, "n_genes": 12, "image_mpp": MPP, "seed": 7}
    for number, sdata in enumerate(stf.datasets.synthetic(n_slides, **how).values()):
        pixels = np.asarray(sdata["he"]["scale0"]["image"]).transpose(1, 2, 0)
        path = folder / f"scan{number}.png"
        Image.fromarray(pixels).save(path)
        rows.append({"slide": f"slide{number}", "path": path.name, "patient": f"P{number % 2}"})
    return pd.DataFrame(rows).assign(image_mpp=MPP, pitch_um=200, lattice="square")
