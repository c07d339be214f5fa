"""A prediction as AnnData: what it holds, that it is a copy, that it can be written."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import squidpy as sq
from spatialdata import SpatialData

from stflow.datasets import synthetic
from stflow.get import predicted

PANEL = ["GENE003", "GENE001", "GENE006"]


@pytest.fixture
def slide() -> SpatialData:
    """A slide with a graph and all that a prediction writes, made up."""
    rng = np.random.default_rng(0)
    sdata = synthetic(1, n_spots=64, n_genes=8, image_mpp=10.0)["S1"]
    table = sdata.tables["table"]
    table.var["length"] = np.arange(8)
    frame = pd.DataFrame(rng.normal(size=(64, 3)), index=table.obs_names, columns=PANEL)
    table.obsm["stflow"], table.obsm["stflow_sd"] = frame, frame.abs()
    table.obsm["X_stflow"] = rng.normal(size=(64, 5))
    table.uns["stflow"] = {"units": "log1p counts"}
    sq.gr.spatial_neighbors(table, coord_type="generic", n_neighs=4)
    return sdata


def test_holds_the_prediction_and_what_belongs_to_it(slide):
    table = slide.tables["table"]
    adata = predicted(slide)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X, table.obsm["stflow"].to_numpy(np.float32))
    np.testing.assert_array_equal(adata.layers["stflow_sd"], np.abs(adata.X))
    assert adata.var_names.tolist() == PANEL
    assert adata.var["length"].tolist() == [2, 0, 5]
    pd.testing.assert_frame_equal(adata.obs, table.obs)
    for key in ("spatial", "X_stflow"):
        np.testing.assert_array_equal(adata.obsm[key], table.obsm[key])
    graph = adata.obsp["spatial_connectivities"] != table.obsp["spatial_connectivities"]
    assert graph.nnz == 0
    assert adata.uns["stflow"] == {"units": "log1p counts"}
    assert "stflow" not in adata.obsm
    assert "stflow_sd" not in adata.obsm


def test_no_deviation_no_layer(slide):
    del slide.tables["table"].obsm["stflow_sd"]
    assert set(predicted(slide).layers) <= {None}  # anndata 0.13 calls X so


def test_a_table_and_layers_serve_as_well(slide):
    expected = predicted(slide)
    table = slide.tables["table"]
    for key in ("stflow", "stflow_sd"):
        table.layers[key] = table.obsm.pop(key).reindex(columns=table.var_names).to_numpy()
    found = predicted(table)
    assert found.var_names.tolist() == sorted(PANEL)
    np.testing.assert_array_equal(found[:, PANEL].X, expected.X)
    np.testing.assert_array_equal(found[:, PANEL].layers["stflow_sd"], expected.layers["stflow_sd"])


def test_genes_that_were_not_measured_have_no_annotation(slide):
    table = slide.tables["table"]
    table.obsm["stflow"] = table.obsm["stflow"].rename(columns={"GENE003": "NEW"})
    del table.obsm["stflow_sd"]
    adata = predicted(slide)
    assert adata.var_names.tolist() == ["NEW", "GENE001", "GENE006"]
    assert adata.var.shape[1] == 0


def test_everything_is_a_copy(slide):
    table = slide.tables["table"]
    before = table.copy()
    adata = predicted(slide)
    assert not adata.is_view
    adata.X[:] = 7
    adata.layers["stflow_sd"][:] = 7
    adata.obs["region"] = "elsewhere"
    adata.var["length"] = 7
    adata.obsm["spatial"][:] = 7
    adata.obsp["spatial_connectivities"].data[:] = 7
    adata.uns["stflow"]["units"] = "none"
    pd.testing.assert_frame_equal(table.obs, before.obs)
    pd.testing.assert_frame_equal(table.var, before.var)
    for key in ("stflow", "stflow_sd"):
        pd.testing.assert_frame_equal(table.obsm[key], before.obsm[key])
    np.testing.assert_array_equal(table.obsm["spatial"], before.obsm["spatial"])
    graphs = [t.obsp["spatial_connectivities"] for t in (table, before)]
    assert (graphs[0] != graphs[1]).nnz == 0
    assert table.uns["stflow"] == {"units": "log1p counts"}
    assert "log1p" not in table.uns


def test_it_can_be_written(slide, tmp_path):
    predicted(slide).write_h5ad(tmp_path / "predicted.h5ad")
    read = ad.read_h5ad(tmp_path / "predicted.h5ad")
    np.testing.assert_array_equal(read.X, predicted(slide).X)


def test_it_can_stand_in_for_the_table(slide):
    slide.tables["predicted"] = predicted(slide)
    assert slide["predicted"].uns["spatialdata_attrs"]["region"] == "spots"


def test_refusals(slide):
    with pytest.raises(KeyError, match=r"No prediction 'other' .*obsm: .*'stflow'.*tl\.predict"):
        predicted(slide, "other")
    with pytest.raises(KeyError, match="No table 'cells'; available: 'table'"):
        predicted(slide, table_key="cells")
    with pytest.raises(TypeError, match="not dict"):
        predicted({"S1": slide})
    with pytest.raises(TypeError, match=r"obsm\['X_stflow'\] .* not a DataFrame"):
        predicted(slide, "X_stflow")
    slide.tables["table"].obsm["stflow"].iloc[2, 1] = np.inf
    with pytest.raises(ValueError, match="'stflow' in table 'table' holds 1 values that are NaN"):
        predicted(slide)
