"""A slide that only has H&E: from image files to maps, and on to scanpy and squidpy."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
import spatialdata as sd
import spatialdata_plot  # noqa: F401
import squidpy as sq
from scipy.spatial import KDTree
from support import LOOK, cp10k

import stflow as stf

pytestmark = pytest.mark.filterwarnings("ignore:All slides are of patient 'C'")

MPP, GENES = 0.69, ["ERBB2", "FASN"]


def on_grid(sdata: sd.SpatialData, pitch_um: float, lattice: str = "hex") -> sd.SpatialData:
    """Take a slide image to the point where it can be predicted."""
    stf.pp.detect_tissue(sdata)
    stf.pp.grid(sdata, pitch_um, lattice=lattice)
    stf.pp.embed(sdata, cache=False, **LOOK)
    stf.pp.neighbors(sdata)
    return sdata


@pytest.fixture(scope="module")
def trained(embedded) -> stf.STFlow:
    train = {name: embedded(name) for name in ("C2", "C3")}
    genes = stf.pp.select_genes(train, n_top_genes=30)
    how = {"config": {"n_flows": 1}, "max_epochs": 10, "device": "cpu"}
    how["show_progress_bar"] = False
    return stf.tl.fit(train, genes=[*dict.fromkeys([*GENES, *genes])], **how)


@pytest.fixture(scope="module")
def section(data_dir, trained) -> sd.SpatialData:
    """C5 as a JPEG without spots or counts, predicted."""
    path = next((data_dir / "her2st" / "ST-imgs" / "C" / "C5").glob("*.jpg"))
    sdata = on_grid(stf.io.read_wsi(path, image_mpp=MPP), 200, "square")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*unlike all training spots")
        stf.tl.predict(sdata, trained, device="cpu", show_progress_bar=False)
    return sdata


@pytest.mark.slow
def test_maps_of_a_section_without_a_table_agree_with_its_counts(section, trained):
    """Each measured spot beside the nearest place of a grid that knows nothing of the spots."""
    ours, counts = section["table"], stf.datasets.her2st("C5")["table"]
    assert list(ours.var_names) == list(trained.genes)
    assert ours.X is None
    away, nearest = KDTree(ours.obsm["spatial"]).query(counts.obsm["spatial"])
    assert np.quantile(away, 0.95) * MPP < 150
    measured = cp10k(counts)[list(trained.genes)]
    predicted = ours.obsm["stflow"].iloc[nearest].set_index(counts.obs_names)
    assert measured.corrwith(predicted).mean() > 0.4
    elsewhere = predicted.sample(frac=1, random_state=0).set_index(counts.obs_names)
    assert abs(measured.corrwith(elsewhere).mean()) < 0.1


@pytest.mark.slow
def test_other_tissue_is_told_apart(data_dir, section, trained):
    wsi = on_grid(stf.io.read_wsi(data_dir / "wsi" / "CMU-1-Small-Region.svs"), 100)
    with pytest.warns(UserWarning, match="unlike all training spots"):
        stf.tl.predict(wsi, trained, device="cpu", show_progress_bar=False)
    foreign, own = (each["table"].obs["stflow_novelty"] for each in (wsi, section))
    assert (foreign > 1).mean() > 0.9
    assert (own > 1).mean() < 0.25


@pytest.mark.slow
def test_the_result_chains(section, tmp_path):
    adata = stf.get.predicted(section)
    sc.pp.pca(adata, n_comps=10)
    sc.pp.neighbors(adata, use_rep="X_stflow")
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, random_state=0)
    assert adata.obs["leiden"].nunique() > 1
    sq.gr.spatial_autocorr(adata, mode="moran", show_progress_bar=False)
    assert adata.uns["moranI"]["I"].notna().all()
    section.pl.render_images("he").pl.render_shapes(
        "spots", color=GENES[0], table_layer="stflow"
    ).pl.show()
    stf.pl.gene_maps(section, GENES)
    plt.close("all")
    section.write(tmp_path / "c5.zarr")
    again = sd.read_zarr(tmp_path / "c5.zarr")["table"]
    for key in ("stflow", "stflow_sd"):
        assert again.obsm[key].equals(section["table"].obsm[key])
    np.testing.assert_array_equal(again.layers["stflow"], section["table"].layers["stflow"])
    np.testing.assert_array_equal(again.obsm["X_stflow"], section["table"].obsm["X_stflow"])
    assert list(again.obs["stflow_novelty"]) == list(section["table"].obs["stflow_novelty"])
