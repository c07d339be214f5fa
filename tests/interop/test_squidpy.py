"""What squidpy makes of a prediction, on the graph that `pp.neighbors` wrote."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import squidpy as sq
from anndata import AnnData

import stflow as stf

QUIET = {"device": "cpu", "show_progress_bar": False}


@pytest.fixture
def adata(tissue, model, run_page) -> AnnData:
    """What the page makes of a prediction: Moran's I, and spots that are high or low in a gene."""
    stf.tl.predict(tissue["S1"], model, **QUIET)
    return run_page("squidpy", sdata=tissue["S1"], stf=stf)["adata"]


def shuffled(adata: AnnData) -> AnnData:
    """The same spots, whose expression and levels are those of others."""
    other = adata.copy()
    order = np.random.default_rng(0).permutation(adata.n_obs)
    other.X = adata.X[order]
    other.obs["level"] = adata.obs["level"].array[order]
    return other


def test_spatial_autocorrelation(adata) -> None:
    control = shuffled(adata)
    sq.gr.spatial_autocorr(control, mode="moran", show_progress_bar=False)
    assert set(adata.uns["moranI"].index) == set(adata.var_names)
    assert adata.uns["moranI"]["I"].max() > 0.3
    assert control.uns["moranI"]["I"].max() < 0.3


def test_neighbourhoods_and_co_occurrence(adata) -> None:
    control = shuffled(adata)
    sq.gr.nhood_enrichment(control, "level", seed=0, show_progress_bar=False)
    scores = [each.uns["level_nhood_enrichment"]["zscore"] for each in (adata, control)]
    assert scores[0][0, 0] > 3
    assert scores[0][0, 1] < -3
    assert abs(scores[1]).max() < 3
    sq.gr.co_occurrence(adata, "level", interval=5)
    assert adata.uns["level_co_occurrence"]["occ"].shape == (2, 2, 4)


def test_maps(adata) -> None:
    gene = adata.var_names[0]
    axes = sq.pl.spatial_scatter(
        adata, color=[gene, "level"], shape=None, size=20, library_id="", return_ax=True
    )
    assert [each.get_title() for each in axes] == [gene, "level"]
    assert len(axes[0].collections[0].get_offsets()) == 64
    plt.close("all")
