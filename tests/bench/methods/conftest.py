from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from spatialdata import SpatialData
from support import make_tissue
from torch import nn

import stflow as stf
from stflow._sdata._slides import read_slides
from stflow._sdata._tables import get_regions
from stflow._sdata.expression._totals import Counting
from stflow._sdata.places._placed import spots_on_image
from stflow.bench.methods._parts import _trunk
from stflow.bench.methods._parts._augment import MEAN, STD
from stflow.bench.readers._cut import cut
from stflow.slide._slide import Slide

KEYS = {
    "table_key": "table",
    "embedding_key": "X_embedding",
    "coordinate_system": "global",
    "counting": Counting("counts", min_counts=0.0),
}


def with_tiles(
    sdata: SpatialData, name: str, genes: list[str], *, mpp: float, tile_px: int
) -> Slide:
    """A slide with expression and with its tiles in memory."""
    slide = read_slides(sdata, name=name, genes=genes, **KEYS)[0]
    (crop,) = get_regions(sdata["table"])
    place = spots_on_image(sdata, sdata["table"], crop, image_key=None, image_mpp=None)
    size = tile_px * mpp / place.mpp
    tiles = cut(place.levels, place.centres_px, size=size, tile_px=tile_px)
    return replace(slide, tiles=tiles)


@pytest.fixture(scope="session")
def arrays() -> list[Slide]:
    """Three synthetic slides of 100 spots with 8 genes, embedded by their colours, with tiles.

    Their 12 genes are all that there is, so raw counts show more than shares of a total of them.
    """
    slides = make_tissue(3, n_spots=100, n_genes=12)
    genes = stf.pp.select_genes(slides, n_top_genes=8, units="counts")
    return [with_tiles(sdata, name, genes, mpp=8.0, tile_px=28) for name, sdata in slides.items()]


@pytest.fixture(scope="session")
def her2st(embedded) -> list[Slide]:
    """Sections C2, C3 and C4 with 10 genes, embedded, with tiles of 112 px at 1 um/px."""
    slides = {name: embedded(name) for name in ("C2", "C3", "C4")}
    genes = stf.pp.select_genes(slides, n_top_genes=10, units="counts")
    return [with_tiles(sdata, name, genes, mpp=1.0, tile_px=112) for name, sdata in slides.items()]


def build_tiny(*_: object) -> _trunk.Trunk:
    """A trunk of two convolutions, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        layers = [nn.Conv2d(3, 16, 5, stride=4), nn.BatchNorm2d(16), nn.ReLU()]
        layers += [nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return _trunk.Trunk(nn.Sequential(*layers), width=32, mean=MEAN, std=STD)


@pytest.fixture
def tiny_trunk(monkeypatch) -> list[_trunk.Trunk]:
    """Tiny trunks in the place of pretrained ones; lists those that were built."""
    built: list[_trunk.Trunk] = []

    def build(*arguments: object) -> _trunk.Trunk:
        built.append(build_tiny(*arguments))
        return built[-1]

    monkeypatch.setattr(_trunk, "build_trunk", build)
    return built
