from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
import spatialdata as sd
import squidpy as sq
from support import SHAPE, SMALL, SPOILED, snapshot

import stflow as stf

KEY = "stflow_attention"


def attend(data, model, **how) -> sp.csr_matrix:
    how = {"show_progress_bar": False, **how}
    return stf.tl.attention(data, model, inplace=False, **how).obsp[KEY]


@pytest.fixture(scope="session")
def regression(_tissue) -> stf.STFlow:
    """A model without draws, whose numbers do not depend on the order of spots."""
    return stf.tl.fit(
        _tissue, ["GENE001", "GENE002"], **{**SMALL, "config": {**SHAPE, "flow": False}}
    )


def test_a_graph_of_shares(tissue, model) -> None:
    sdata = tissue["S1"]
    before = snapshot(sdata)
    assert stf.tl.attention(sdata, model) is None
    table = sdata["table"]
    found, graph = table.obsp[KEY], table.obsp["spatial_connectivities"]
    assert sp.issparse(found)
    assert found.format == "csr"
    assert found.dtype == np.float32
    assert np.asarray(found.sum(1)).ravel() == pytest.approx(1, abs=1e-5)
    assert found.data.min() >= 0
    assert ((found != 0) != (graph != 0)).nnz == 0
    assert table.uns[KEY]["params"]["n_steps"] == 5
    del table.obsp[KEY], table.uns[KEY]
    assert snapshot(sdata) == before


def test_of_the_first_draw_at_its_last_evaluation(tissue, model) -> None:
    """The same draw as that of `predict`, so another seed or number of steps differs."""
    table = tissue["S1"]
    found = attend(table, model)
    assert (found != attend(table, model)).nnz == 0
    assert (found != attend(table, model, seed=1)).nnz > 0
    assert (found != attend(table, model, n_steps=1)).nnz > 0


@pytest.mark.parametrize("chunk_size", [1, 20, 64, 10_000])
def test_chunk_size_changes_nothing(tissue, model, chunk_size: int) -> None:
    whole = attend(tissue["S1"], model)
    assert abs(attend(tissue["S1"], model, chunk_size=chunk_size) - whole).max() < 1e-5


def test_order_of_rows_does_not_matter(tissue, regression) -> None:
    table = tissue["S1"]["table"]
    order = np.random.default_rng(0).permutation(table.n_obs)
    first = attend(tissue["S1"], regression)
    second = attend(table[order].copy(), regression)
    assert abs(first[order][:, order] - second).max() < 1e-5
    assert abs(first - second).max() > 1e-2


def test_measured_counts_are_not_read(tissue, model) -> None:
    expected = attend(tissue["S1"], model)
    table = tissue["S1"]["table"]
    table.X = sp.csr_matrix(table.shape)
    assert (attend(tissue["S1"], model) != expected).nnz == 0


def test_regions_are_taken_one_by_one(two_regions, tissue, regression) -> None:
    found = attend(two_regions, regression)
    labels = two_regions["table"].obs["region"].to_numpy()
    rows, columns = found.nonzero()
    assert (labels[rows] == labels[columns]).all()
    here = np.flatnonzero(labels == "a")
    alone = attend(tissue["S1"], regression)
    assert abs(found[here][:, here] - alone).max() < 1e-4
    assert np.asarray(found.sum(1)).ravel() == pytest.approx(1, abs=1e-5)


def test_squidpy_takes_it_for_a_graph(tissue, model) -> None:
    table = tissue["S1"]["table"]
    stf.tl.attention(tissue["S1"], model)
    sq.gr.spatial_autocorr(table, connectivity_key=KEY, mode="moran", show_progress_bar=False)
    assert np.isfinite(table.uns["moranI"]["I"]).all()
    weights, x = table.obsp[KEY], table[:, "GENE001"].X.toarray().ravel()
    x = x - x.mean()
    expected = len(x) / weights.sum() * (x @ (weights @ x)) / (x @ x)
    assert table.uns["moranI"].loc["GENE001", "I"] == pytest.approx(expected, abs=1e-4)


def test_scanpy_takes_it_for_neighbours(tissue, model) -> None:
    table = tissue["S1"]["table"]
    stf.tl.attention(tissue["S1"], model)
    neighbours = sc.Neighbors(table, neighbors_key=KEY)
    assert (neighbours.connectivities != table.obsp[KEY]).nnz == 0
    assert (neighbours.distances != table.obsp["spatial_distances"]).nnz == 0
    sc.tl.umap(table, neighbors_key=KEY, maxiter=2)
    assert table.obsm["X_umap"].shape == (64, 2)


def test_one_spot_listens_to_nobody(tissue, model) -> None:
    one = tissue["S1"]["table"][:1].copy()
    stf.pp.neighbors(one, overwrite=True)
    assert attend(one, model).nnz == 0


def test_readable_by_spatialdata_alone(tissue, model, tmp_path) -> None:
    sdata = tissue["S1"]
    stf.tl.attention(sdata, model)
    sdata.write(tmp_path / "out.zarr")
    again = sd.read_zarr(tmp_path / "out.zarr")["table"]
    assert (again.obsp[KEY] != sdata["table"].obsp[KEY]).nnz == 0
    assert again.uns[KEY]["connectivities_key"] == KEY


def test_nothing_is_overwritten_unasked(tissue, model) -> None:
    sdata = tissue["S1"]
    stf.tl.attention(sdata, model)
    before = snapshot(sdata)
    with pytest.raises(ValueError, match=r"already holds 'stflow_attention'.*`overwrite=True`"):
        stf.tl.attention(sdata, model, seed=1)
    assert snapshot(sdata) == before
    stf.tl.attention(sdata, model, key_added="other", seed=1)
    stf.tl.attention(sdata, model, overwrite=True, seed=1)
    table = sdata["table"]
    assert (table.obsp["other"] != table.obsp[KEY]).nnz == 0


@pytest.mark.parametrize("key", ["spatial_connectivities", "spatial_distances"])
def test_the_graph_is_never_written_over(tissue, model, key: str) -> None:
    with pytest.raises(ValueError, match=rf"write over '{key}', which this call reads"):
        stf.tl.attention(tissue["S1"], model, key_added=key, overwrite=True)


@pytest.mark.parametrize("case", SPOILED)
def test_bad_slide(tissue, model, case: str) -> None:
    change, error, message = SPOILED[case]
    change(tissue["S1"]["table"])
    before = snapshot(tissue["S1"])
    with pytest.raises(error, match=message):
        stf.tl.attention(tissue["S1"], model)
    assert snapshot(tissue["S1"]) == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_steps": 0}, ValueError, "`n_steps` must be a whole number"),
        ({"chunk_size": 0}, ValueError, "`chunk_size` must be a whole number"),
        ({"seed": -3}, ValueError, "`seed` must be a whole number from 0"),
        ({"device": "cuda:99"}, ValueError, "`device` is 'cuda:99'; available"),
        ({"table_key": "t"}, KeyError, "No table 't'; available: 'table'"),
        ({"embedding_key": "X_uni"}, KeyError, "available: .*'X_embedding'"),
        ({"coordinate_system": "aligned"}, KeyError, "'aligned'; available: 'global'"),
    ],
)
def test_bad_argument(tissue, model, arguments: dict, error: type, message: str) -> None:
    before = snapshot(tissue["S1"])
    with pytest.raises(error, match=message):
        stf.tl.attention(tissue["S1"], model, **arguments)
    assert snapshot(tissue["S1"]) == before


def test_progress_is_shown_when_asked(tissue, model, capsys) -> None:
    stf.tl.attention(tissue["S1"], model, show_progress_bar=True)
    assert "10/10" in capsys.readouterr().err
    stf.tl.attention(tissue["S1"], model, overwrite=True, show_progress_bar=False)
    assert capsys.readouterr().err == ""
