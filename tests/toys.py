"""Methods and a task that take no time, for tests of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from stflow.baselines import Ridge
from stflow.bench.methods._method import Published

SIDE = 6


class Reds(Ridge, Published):
    """Ridge under a name of its own, that counts its fits."""

    citation = "none"
    n_fits = 0

    def fit(self, slides, *, seed=0):
        type(self).n_fits += 1
        return super().fit(slides, seed=seed)


class Shade(Published):
    """Predicts the mean of the tile, whatever the gene."""

    reads = "tiles"
    citation = "none"
    trains = True

    def candidates(self, rest, held_out, seed):
        yield (), self.learn(rest, (), seed)(held_out)

    def learn(self, slides, choice, seed):
        n_genes = len(slides[0].genes)
        return lambda slide: np.repeat(slide.tiles[:].mean((1, 2, 3))[:, None], n_genes, 1)


class Broken(Published):
    """Fails on one slide alone."""

    citation = "none"

    def candidates(self, rest, held_out, seed):
        return iter(())

    def learn(self, slides, choice, seed):
        return lambda slide: np.empty(0)

    def fit(self, slides, *, seed=0):
        raise RuntimeError("out of luck")


class Peek(Reds):
    """Sees the test slides, and says so."""

    peeks = True

    def fit(self, slides, *, seed=0, peek):
        assert all(slide.expression is not None for slide in peek)
        return super().fit(slides, seed=seed)


def only(monkeypatch: pytest.MonkeyPatch, methods: dict[str, type[Published]]) -> None:
    """Let the benchmark know these methods alone, and keep the memory that it would let go."""
    for module in ("_plan", "_run"):
        monkeypatch.setattr(f"stflow.bench.{module}.METHODS", methods)
    monkeypatch.setattr("stflow.bench._jobs.let_go", lambda: None)


def reds(tiles: torch.Tensor) -> torch.Tensor:
    """Mean of each channel."""
    return tiles.mean((2, 3))


@dataclass(frozen=True, eq=False)
class ArraySource:
    """A slide that is at hand."""

    counts: ad.AnnData
    pixels: np.ndarray

    def table(self) -> ad.AnnData:
        return self.counts

    def tiles(self) -> np.ndarray:
        return self.pixels


def make_source(seed: int, n_genes: int = 6) -> ArraySource:
    """A lattice of spots: gene 0 follows the red of the tile, the others are noise."""
    rng = np.random.default_rng(seed)
    red = rng.integers(0, 200, SIDE**2)
    tiles = np.zeros((SIDE**2, 8, 8, 3), dtype=np.uint8)
    tiles[..., 0] = red[:, None, None]
    tiles[..., 1] = rng.integers(0, 9, SIDE**2)[:, None, None]
    counts = rng.poisson(3, (SIDE**2, n_genes))
    counts[:, 0] = red
    table = ad.AnnData(
        X=counts.astype(np.float32),
        var=pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]),
        obs=pd.DataFrame(index=[f"s{i}" for i in range(SIDE**2)]),
    )
    table.obsm["spatial"] = np.argwhere(np.ones((SIDE, SIDE))) * 100.0
    return ArraySource(table, tiles)
