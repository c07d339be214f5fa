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


def test_clusters_and_their_genes(adata) -> None:
    sc.pp.pca(adata, n_comps=4)
    sc.pp.neighbors(adata, use_rep="X_stflow", n_neighbors=8)
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, random_state=0)
    sc.tl.rank_genes_groups(adata, "leiden", method="wilcoxon")
    assert adata.obsm["X_pca"].shape == (64, 4)
    assert adata.obs["leiden"].nunique() > 1
    for group in adata.obs["leiden"].cat.categories:
        ranked = sc.get.rank_genes_groups_df(adata, group)
        assert set(ranked["names"]) == set(adata.var_names)
        first = ranked["names"].iloc[0]
        inside = (adata.obs["leiden"] == group).to_numpy()
        values = adata[:, first].X.ravel()
        assert values[inside].mean() > values[~inside].mean()


def test_clusters_of_latent_states_follow_the_prediction(adata) -> None:
    """Leiden on latent states splits spots by what is predicted; shuffled labels do not."""
    sc.pp.neighbors(adata, use_rep="X_stflow", n_neighbors=8)
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, random_state=0)
    labels = adata.obs["leiden"].cat.codes.to_numpy()
    shuffled = np.random.default_rng(0).permutation(labels)
    assert between(adata.X, labels) > 2 * between(adata.X, shuffled)


def between(values: np.ndarray, labels: np.ndarray) -> float:
    """Share of the variance of all genes that lies between groups."""
    means = np.stack([values[labels == label].mean(0) for label in np.unique(labels)])
    return float(means[labels].var(0).sum() / values.var(0).sum())


def test_it_is_normalised_and_logged_already(adata) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sc.pp.pca(adata, n_comps=3)
    assert "log1p" in adata.uns
