"""What scanpy makes of a prediction."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData

import stflow as stf

QUIET = {"device": "cpu", "show_progress_bar": False}


@pytest.fixture
def adata(tissue, model) -> AnnData:
    stf.tl.predict(tissue["S1"], model, **QUIET)
    return stf.get.predicted(tissue["S1"])


@pytest.mark.slow
def test_clusters_of_latent_states_and_their_genes(tissue, model, run_page) -> None:
    """Leiden splits spots by what is predicted, and its genes differ; shuffled labels do not."""
    stf.tl.predict(tissue["S1"], model, **QUIET)
    adata = run_page("scanpy", sdata=tissue["S1"], stf=stf)["adata"]
    assert adata.obsm["X_pca"].shape == (64, 4)
    labels = adata.obs["leiden"].cat.codes.to_numpy()
    assert len(np.unique(labels)) > 1
    shuffled = np.random.default_rng(0).permutation(labels)
    assert between(adata.X, labels) > 2 * between(adata.X, shuffled)
    for group in adata.obs["leiden"].cat.categories:
        ranked = sc.get.rank_genes_groups_df(adata, group)["names"]
        assert set(ranked) == set(adata.var_names)
        inside = (adata.obs["leiden"] == group).to_numpy()
        values = adata[:, ranked[0]].X.ravel()
        assert values[inside].mean() > values[~inside].mean()


def between(values: np.ndarray, labels: np.ndarray) -> float:
    """Share of the variance of all genes that lies between groups."""
    means = np.stack([values[labels == label].mean(0) for label in np.unique(labels)])
    return float(means[labels].var(0).sum() / values.var(0).sum())


def test_it_is_normalised_and_logged_already(adata) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sc.pp.pca(adata, n_comps=3)
    assert "log1p" in adata.uns
