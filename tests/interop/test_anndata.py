"""Tables that anndata keeps on disk: backed files, and what is read lazily."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from support import SMALL

import stflow as stf

QUIET = {"device": "cpu", "show_progress_bar": False}
PANEL = ["GENE004", "GENE001"]
OPEN: dict[str, Callable[[Path], AnnData]] = {
    ".h5ad": lambda path: ad.read_h5ad(path, backed="r"),
    ".zarr": ad.experimental.read_lazy,
}


@pytest.fixture(params=list(OPEN))
def stored(request, tmp_path) -> Callable[[dict[str, AnnData]], dict[str, AnnData]]:
    """Write tables to files and open these, each way that anndata leaves data there."""

    def keep(tables: dict[str, AnnData]) -> dict[str, AnnData]:
        paths = {name: (tmp_path / name).with_suffix(request.param) for name in tables}
        for name, table in tables.items():
            getattr(table, f"write_{request.param[1:]}")(paths[name])
        return {name: OPEN[request.param](path) for name, path in paths.items()}

    return keep


def prediction(table: AnnData, model: stf.STFlow) -> pd.DataFrame:
    return stf.tl.predict(table, model, inplace=False, **QUIET).obsm["stflow"]


def test_choice_and_fit_are_those_of_tables_in_memory(tissue, others, stored) -> None:
    tables = {name: sdata["table"] for name, sdata in tissue.items()}
    on_disk = stored(tables)
    genes = stf.pp.select_genes(on_disk, n_top_genes=4)
    assert genes == stf.pp.select_genes(tables, n_top_genes=4)
    few = {**SMALL, "max_epochs": 1}
    ours, theirs = (stf.tl.fit(each, genes=genes, **few) for each in (on_disk, tables))
    new = others["S4"]["table"]
    pd.testing.assert_frame_equal(*(prediction(new, each) for each in (ours, theirs)))
    assert not sp.issparse(on_disk["S1"].X)  # counts were left on disk


def test_predictions_and_scores_are_those_of_a_table_in_memory(tissue, model, stored) -> None:
    table = tissue["S1"]["table"]
    (on_disk,) = stored({"S1": table}).values()
    expected = prediction(table, model)
    pd.testing.assert_frame_equal(prediction(on_disk, model), expected)
    assert "stflow" not in on_disk.obsm
    for each in (on_disk, table):
        stf.tl.predict(each, model, **QUIET)
    pd.testing.assert_frame_equal(on_disk.obsm["stflow"], expected)
    scores = [stf.tl.evaluate(each) for each in (on_disk, table)]
    pd.testing.assert_frame_equal(*scores)
    assert scores[0]["pearson"].notna().all()


def test_what_was_predicted_is_read_again(tissue, model, stored) -> None:
    table = tissue["S1"]["table"]
    stf.tl.predict(table, model, **QUIET)
    (on_disk,) = stored({"S1": table}).values()
    pd.testing.assert_frame_equal(stf.tl.evaluate(on_disk), stf.tl.evaluate(table))
    for found, expected in zip(stf.get.intervals(on_disk), stf.get.intervals(table), strict=True):
        pd.testing.assert_frame_equal(found, expected)
    adata = stf.get.predicted(on_disk)
    np.testing.assert_array_equal(adata.X, stf.get.predicted(table).X)
    attention = stf.tl.attention(on_disk, model, inplace=False, **QUIET)
    assert attention.obsp["stflow_attention"].nnz


def test_a_graph_is_found_for_a_table_on_disk(tissue, stored) -> None:
    table = tissue["S1"]["table"]
    before = table.obsp["spatial_connectivities"].copy()
    del table.obsp["spatial_connectivities"], table.obsp["spatial_distances"]
    (on_disk,) = stored({"S1": table}).values()
    del on_disk.uns["spatialdata_attrs"]  # a table alone: its spots lie where .obsm says
    stf.pp.neighbors(on_disk)
    assert (on_disk.obsp["spatial_connectivities"] != before).nnz == 0


def test_the_page(tissue, model, run_page, tmp_path, monkeypatch) -> None:
    """Lazy here is an HDF5 file."""
    monkeypatch.chdir(tmp_path)
    tissue["S1"]["table"].write_h5ad("table.h5ad")
    names = run_page("anndata: backed and lazy", model=model, stf=stf)
    expected = prediction(tissue["S1"]["table"], model)
    for each in (names["backed"], names["lazy"]):
        pd.testing.assert_frame_equal(each.obsm["stflow"], expected)
    assert list(names["scores"].index) == list(model.genes)


def test_refusals_name_what_is_there(tissue, model, stored) -> None:
    table = tissue["S1"]["table"]
    del table.obsm["X_embedding"]
    (on_disk,) = stored({"S1": table}).values()
    with pytest.raises(KeyError, match=r"'X_embedding'.*available: .*'spatial'.*stf\.pp\.embed"):
        stf.tl.predict(on_disk, model, **QUIET)


def test_counts_that_are_none_are_refused_wherever_they_lie(tissue, stored) -> None:
    table = tissue["S1"]["table"]
    table.X = np.log1p(table.X)
    on_disk = stored({"S1": table, "S2": tissue["S2"]["table"]})
    with pytest.raises(ValueError, match=r"X of table 'table' of S1 .*whole|counts"):
        stf.tl.fit(on_disk, genes=PANEL, **SMALL)
