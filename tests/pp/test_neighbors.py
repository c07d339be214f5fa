from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from support import snapshot

import stflow as stf
from stflow.slide._graph import knn_graph


def brute_force(coords: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Connectivities and distances from the whole distance matrix, ties included."""
    distance = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    last = np.sort(distance, axis=1)[:, min(k, len(coords) - 1) - 1]
    near = distance <= last[:, None] * (1 + 1e-3)
    return near, np.where(near, distance, 0)


def hexagonal(side: int, pitch: float = 100.0) -> np.ndarray:
    row, column = np.divmod(np.arange(side**2), side)
    return np.column_stack([pitch * (column + row % 2 / 2), pitch * row * np.sqrt(3) / 2])


def as_table(coords: np.ndarray) -> AnnData:
    table = AnnData(sp.csr_matrix((len(coords), 1)))
    table.obsm["spatial"] = coords
    return table


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), k=st.integers(1, 20), seed=st.integers(0, 999))
def test_equal_to_brute_force(n: int, k: int, seed: int) -> None:
    coords = np.random.default_rng(seed).uniform(0, 1e4, (n, 2))
    connectivities, distances = knn_graph(coords, k)
    near, wanted = brute_force(coords, k)
    assert np.array_equal(connectivities.toarray() > 0, near)
    assert np.allclose(distances.toarray(), wanted)


@pytest.mark.parametrize("k", [1, 6, 8, 18])
def test_equal_to_brute_force_on_a_lattice(k: int) -> None:
    coords = hexagonal(9)
    connectivities, distances = knn_graph(coords, k)
    near, wanted = brute_force(coords, k)
    assert np.array_equal(connectivities.toarray() > 0, near)
    assert np.allclose(distances.toarray(), wanted)


def test_a_ring_is_taken_whole() -> None:
    """8 of 12 spots of the first two rings of a hexagonal lattice would be an arbitrary choice."""
    degrees = np.diff(knn_graph(hexagonal(9), 8)[0].indptr)
    assert degrees[4 * 9 + 4] == 12


def test_without_ties_every_spot_has_k_neighbours() -> None:
    coords = np.column_stack([2.0 ** np.arange(12), np.zeros(12)])
    assert set(np.diff(knn_graph(coords, 8)[0].indptr)) == {8}


@pytest.mark.parametrize("n", [1, 2, 8])
def test_small_slides_have_fewer(n: int) -> None:
    table = as_table(hexagonal(3)[:n])
    stf.pp.neighbors(table)
    assert set(np.diff(table.obsp["spatial_connectivities"].indptr)) == {n - 1}


def test_distances_are_micrometres(tissue) -> None:
    table = tissue["S1"]["table"]
    nearest = np.sort(table.obsp["spatial_distances"].data)[: table.n_obs]
    assert np.median(nearest) == pytest.approx(200, rel=0.03)
    assert table.uns["spatial_neighbors"]["params"] == {"n_neighbors": 8, "unit": "um"}
    pixels = table.copy()
    del pixels.uns["spatialdata_attrs"]
    stf.pp.neighbors(pixels, overwrite=True)
    ratio = pixels.obsp["spatial_distances"].data / table.obsp["spatial_distances"].data
    assert ratio == pytest.approx(1 / 4.0)
    assert pixels.uns["spatial_neighbors"]["params"]["unit"] == "coordinates"


def test_rows_are_matched_to_spots_by_name(tissue) -> None:
    """Negative control included: reading the spots in element order gives another graph."""
    sdata = tissue["S1"]
    first = sdata["table"].copy()
    order = np.random.default_rng(0).permutation(first.n_obs)
    del sdata.tables["table"]
    sdata.tables["table"] = first[order].copy()
    stf.pp.neighbors(sdata, overwrite=True)
    wanted = first.obsp["spatial_connectivities"]
    found = sdata["table"].obsp["spatial_connectivities"]
    assert (found != wanted[order][:, order]).nnz == 0
    assert (found != wanted).nnz > 0


def test_regions_are_slides_of_their_own(two_regions) -> None:
    table = two_regions["table"]
    graph = table.obsp["spatial_connectivities"].tocoo()
    region = table.obs["region"].to_numpy()
    assert (region[graph.row] == region[graph.col]).all()
    assert set(region) == {"a", "b"}


@pytest.mark.parametrize("alone", [False, True], ids=["slide", "table"])
def test_not_inplace_returns_a_changed_copy_and_leaves_the_table(tissue, alone: bool) -> None:
    sdata = tissue["S1"]
    data = sdata["table"] if alone else sdata
    before = snapshot(sdata)
    how = {} if alone else {"image_mpp": 4.0}
    copy = stf.pp.neighbors(data, n_neighs=4, overwrite=True, inplace=False, **how)
    assert snapshot(sdata) == before
    assert copy.uns["spatial_neighbors"]["params"]["n_neighbors"] == 4
    graph = copy.obsp["spatial_connectivities"]
    assert graph.nnz < sdata["table"].obsp["spatial_connectivities"].nnz
    assert stf.pp.neighbors(data, n_neighs=4, overwrite=True, **how) is None
    assert snapshot(sdata) != before
    assert (sdata["table"].obsp["spatial_connectivities"] != graph).nnz == 0


@pytest.mark.parametrize("inplace", [True, False])
def test_a_graph_is_not_replaced_unasked(tissue, monkeypatch, inplace: bool) -> None:
    """Nor is any looked for; what a table tells of a graph that it has lost is in nobody's way."""
    sdata = tissue["S1"]
    before = snapshot(sdata)
    with monkeypatch.context() as patch:
        patch.setattr("stflow.pp._neighbors.knn_graph", None)
        with pytest.raises(ValueError, match=r"'spatial_connectivities'.*`overwrite=True`"):
            stf.pp.neighbors(sdata, n_neighs=4, inplace=inplace)
    assert snapshot(sdata) == before
    del sdata["table"].obsp["spatial_connectivities"]
    with pytest.raises(ValueError, match=r"holds 'spatial_distances'\. Pass `overwrite=True`"):
        stf.pp.neighbors(sdata, inplace=inplace)
    del sdata["table"].obsp["spatial_distances"]
    stf.pp.neighbors(sdata, inplace=inplace)


@pytest.mark.parametrize("n_neighs", [0, -1, 2.5])
def test_n_neighs_out_of_range(tissue, n_neighs) -> None:
    with pytest.raises(ValueError, match="`n_neighs` must be a whole number"):
        stf.pp.neighbors(tissue["S1"], n_neighs=n_neighs)


def test_missing_table_and_positions(tissue) -> None:
    with pytest.raises(KeyError, match="No table 'other'; available: 'table'"):
        stf.pp.neighbors(tissue["S1"], table_key="other")
    with pytest.raises(KeyError, match="No obsm key 'spatial'; available: none"):
        stf.pp.neighbors(AnnData(np.ones((3, 1))))
    with pytest.raises(TypeError, match="Expected SpatialData or AnnData, not dict"):
        stf.pp.neighbors(tissue)


def test_two_spots_at_one_place(tissue) -> None:
    table = tissue["S1"]["table"].copy()
    table.obsm["spatial"][3] = table.obsm["spatial"][9]
    with pytest.raises(ValueError, match=r"1 spots .*lie where another one lies"):
        stf.pp.neighbors(table, overwrite=True)


def two_samples() -> AnnData:
    """Samples whose places overlap, joined by anndata."""
    tables = {}
    for name, shift in (("V1", 0.0), ("V2", 7.0)):
        tables[name] = as_table(hexagonal(4) + shift)
        tables[name].obs_names = [f"{name}_{i}" for i in range(16)]
        tables[name].uns["spatial"] = {name: {"scalefactors": {"spot": 9.0 + shift}}}
    return ad.concat(tables, label="library", uns_merge="unique")


def test_samples_in_one_table() -> None:
    with pytest.raises(ValueError, match=r"several samples, by .*: 'V1', 'V2'\. .* as a dict"):
        stf.pp.neighbors(two_samples())


def test_a_sample_taken_from_a_table_of_several() -> None:
    joined = two_samples()
    table = joined[joined.obs["library"] == "V2"].copy()
    assert set(table.uns["spatial"]) == {"V1", "V2"}
    stf.pp.neighbors(table)
    wanted = knn_graph(hexagonal(4), 8)[0]
    assert (table.obsp["spatial_connectivities"] != wanted).nnz == 0


def test_the_library_of_one_sample_may_have_company() -> None:
    """The format of CELLxGENE keeps a flag beside the library."""
    table = as_table(hexagonal(4))
    table.uns["spatial"] = {"is_single": True, "V1": {"images": {}}}
    stf.pp.neighbors(table)
    assert table.obsp["spatial_connectivities"].nnz > 0


@pytest.mark.parametrize("given", [{"image_mpp": 0.5}, {"image_key": "he"}])
def test_a_scale_without_an_image(tissue, given) -> None:
    table = tissue["S1"]["table"].copy()
    before = set(table.uns)
    with pytest.raises(ValueError, match="are of an image, but the spots lie on none"):
        stf.pp.neighbors(table, **given, overwrite=True)
    assert set(table.uns) == before
    stf.pp.neighbors(tissue["S1"], **{**given, "image_mpp": 4.0, "overwrite": True})


def test_positions_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="not finite"):
        stf.pp.neighbors(as_table(np.array([[0.0, np.nan], [1.0, 1.0]])))


def test_spots_that_lie_on_no_image_have_no_micrometres(tissue) -> None:
    sdata = tissue["S1"]
    assert sdata["table"].uns["spatial_neighbors"]["params"]["unit"] == "um"
    del sdata["table"].uns["spatialdata_attrs"]
    stf.pp.neighbors(sdata, overwrite=True)
    table = sdata["table"]
    alone = table.copy()
    stf.pp.neighbors(alone, overwrite=True)
    assert table.uns["spatial_neighbors"]["params"]["unit"] == "coordinates"
    assert (table.obsp["spatial_distances"] != alone.obsp["spatial_distances"]).nnz == 0


def test_two_spots_of_one_name(tissue) -> None:
    spots = tissue["S1"].shapes["spots"]
    spots.index = [spots.index[1], *spots.index[1:]]
    name = spots.index[1]
    with pytest.raises(ValueError, match=f"Duplicated spot names in shapes 'spots': '{name}'"):
        stf.pp.neighbors(tissue["S1"], overwrite=True)


def at_pitch(sdata, step: float, **how) -> AnnData:
    stf.pp.grid(sdata, step, lattice="square", tissue_key=None, overwrite=True)
    stf.pp.neighbors(sdata, **how)
    return sdata["table"]


def test_a_pitch_in_micrometres_makes_the_graph_that_a_coarse_grid_has(tissue) -> None:
    """Negative control: without a pitch, neighbours of the fine grid are near."""
    sdata = tissue["S1"]
    coarse = at_pitch(sdata, 200)
    how = {"pitch_um": 200, "lattice": "square"}
    fine = at_pitch(sdata, 50, **how)
    nearest = np.rint(fine.obsm["spatial"] * 1e3).tolist()
    own = [nearest.index(place) for place in np.rint(coarse.obsm["spatial"] * 1e3).tolist()]
    kept = fine.obsp["spatial_connectivities"][own]
    assert (kept[:, own] != coarse.obsp["spatial_connectivities"]).nnz == 0
    assert kept.nnz == coarse.obsp["spatial_connectivities"].nnz
    params = {"n_neighbors": 8, "unit": "um", **how}
    assert fine.uns["spatial_neighbors"]["params"] == params
    assert fine.obsp["spatial_distances"].data.min() == pytest.approx(200)
    assert at_pitch(sdata, 50).obsp["spatial_distances"].data.min() == pytest.approx(50)


@pytest.mark.parametrize("pitch_um", [0, -1.0, np.nan])
def test_a_pitch_out_of_range(tissue, pitch_um) -> None:
    with pytest.raises(ValueError, match="`pitch_um` must be"):
        stf.pp.neighbors(tissue["S1"], pitch_um=pitch_um, overwrite=True)


def test_a_pitch_that_means_nothing(tissue) -> None:
    sdata = tissue["S1"]
    before = snapshot(sdata)
    with pytest.raises(ValueError, match="No two of 64 spots lie 20 um apart"):
        stf.pp.neighbors(sdata, pitch_um=20, overwrite=True)
    with pytest.raises(ValueError, match="`lattice` is 'round'; available: 'hex', 'square'"):
        stf.pp.neighbors(sdata, pitch_um=200, lattice="round", overwrite=True)
    with pytest.raises(ValueError, match="nothing tells how long one is"):
        stf.pp.neighbors(as_table(hexagonal(4)), pitch_um=100)
    assert snapshot(sdata) == before


def test_every_second_spot_of_real_tissue(data_dir) -> None:
    """On a chessboard, neighbours a diagonal apart have one colour; the nearest have both."""
    sdata = stf.datasets.her2st("C5")
    obs = sdata["table"].obs
    white = ((obs["array_col"] + obs["array_row"]) % 2 == 0).to_numpy()
    stf.pp.neighbors(sdata, pitch_um=200 * 2**0.5, lattice="square")
    graph = sdata["table"].obsp["spatial_connectivities"].tocoo()
    assert np.diff(graph.tocsr().indptr).min() >= 8
    assert (white[graph.row] == white[graph.col]).mean() > 0.99
    stf.pp.neighbors(sdata, overwrite=True)
    graph = sdata["table"].obsp["spatial_connectivities"].tocoo()
    assert (white[graph.row] == white[graph.col]).mean() < 0.6
