"""Fractions of cell types: mixtures that are known, intervals that hold, and every refusal."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from sklearn.cluster import KMeans
from support import SHAPE, SMALL, cp10k

import stflow as stf
from stflow.metrics import coverage

TYPES = ["B cell", "T/NK", "tumour"]
N_GENES, N_SPOTS, N_SAMPLES = 40, 60, 100
GENES = [f"G{i}" for i in range(N_GENES)]
KEY = "stflow_cell_types"


def signatures(n_types: int = 3) -> np.ndarray:
    """Shares of messages (G, K) of types that differ in most genes."""
    found = np.random.default_rng(7).gamma(0.7, 1.0, size=(N_GENES, n_types)) + 0.02
    return found / found.sum(0)


def make_reference(n_cells: int = 40, n_types: int = 3, **how) -> AnnData:
    """Cells whose counts are those of their type, to the next whole number."""
    codes = np.repeat(np.arange(n_types), n_cells)
    counts = np.rint(signatures(n_types)[:, codes].T * 20_000)
    labels = pd.Categorical.from_codes(codes, TYPES[:n_types])
    obs = pd.DataFrame({"cell_type": labels}, [f"cell_{i}" for i in range(len(codes))])
    return AnnData(sp.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=GENES), **how)


def predicted(logged: np.ndarray, genes: list[str] = GENES) -> AnnData:
    """A table with these samples (spots, genes, samples) and their own mean and sd."""
    names = pd.Index([f"spot_{i}" for i in range(len(logged))])
    table = AnnData(obs=pd.DataFrame(index=names))
    table.obsm["stflow"] = pd.DataFrame(logged.mean(2), names, genes)
    table.obsm["stflow_sd"] = pd.DataFrame(logged.std(2, ddof=1), names, genes)
    table.obsm["stflow_samples"] = logged
    return table


@pytest.fixture
def true(rng) -> np.ndarray:
    return rng.dirichlet([0.4, 0.8, 0.8], size=(N_SPOTS, N_SAMPLES + 1))


@pytest.fixture
def table(true) -> AnnData:
    """Samples that are mixtures to the letter, the first of them left out."""
    return predicted(np.log1p(np.moveaxis(true[:, 1:] @ signatures().T * 1e4, 1, 2)))


def test_fractions_of_mixtures_are_their_own(table, true) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stf.tl.score_cell_types(table, make_reference())
    found = table.obsm[KEY]
    assert list(found) == ["B cell", "T%2FNK", "tumour"]
    np.testing.assert_allclose(found, true[:, 1:].mean(1), atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(table.obsm[f"{KEY}_sd"], true[:, 1:].std(1, ddof=1), atol=2e-3)
    np.testing.assert_allclose(
        table.obsm[f"{KEY}_samples"], np.moveaxis(true[:, 1:], 1, 2), atol=0.01
    )
    told = table.uns[KEY]
    assert list(told["genes"]) == TYPES
    assert list(told["used"]) == GENES
    assert list(told["n_cells"]) == [40, 40, 40]
    np.testing.assert_allclose(told["cell_counts"], 20_000, rtol=1e-3)
    assert (table.obs[f"{KEY}_unexplained"] < 0.1).all()


def test_intervals_are_quantiles_between_0_and_1(table, true) -> None:
    stf.tl.score_cell_types(table, make_reference())
    for level in (0.5, 0.8, 0.9):
        lower, upper = stf.get.intervals(table, level, key=KEY)
        assert list(lower) == ["B cell", "T%2FNK", "tumour"]
        assert (lower >= 0).all(axis=None)
        assert (upper <= 1).all(axis=None)
        held = coverage(true[:, 0], lower.to_numpy() - 5e-3, upper.to_numpy() + 5e-3)
        assert held.mean() == pytest.approx(level, abs=0.08)
    del table.obsm[f"{KEY}_samples"]
    with pytest.raises(
        KeyError, match=r"No samples 'stflow_cell_types_samples' beside the fractio"
    ):
        stf.get.intervals(table, key=KEY)


def test_what_all_spots_share_makes_high_levels_wide(rng) -> None:
    """Twice the same samples, of which one says that two patients told the shift."""
    alike = rng.dirichlet([4, 4, 4], size=(1, N_SAMPLES)).repeat(N_SPOTS, axis=0)
    widths = []
    for told in ({}, {"shift": np.full(N_GENES, 0.1), "shift_df": 1.0, "genes": np.array(GENES)}):
        one = predicted(np.log1p(np.moveaxis(alike @ signatures().T * 1e4, 1, 2)))
        one.uns["stflow"] = told
        stf.tl.score_cell_types(one, make_reference())
        widths.append(
            {
                level: np.subtract(*stf.get.intervals(one, level, key=KEY)[::-1]).mean(axis=None)
                for level in (0.8, 0.95)
            }
        )
    assert widths[1][0.8] == pytest.approx(widths[0][0.8], rel=0.05)
    assert widths[1][0.95] > 1.3 * widths[0][0.95]


def test_samples_are_brought_to_the_calibrated_deviation(table) -> None:
    wide, narrow = table, table.copy()
    narrow.obsm["stflow_sd"] *= 0.2
    for each in (wide, narrow):
        stf.tl.score_cell_types(each, make_reference())
    sds = [each.obsm[f"{KEY}_sd"].mean(axis=None) for each in (wide, narrow)]
    assert sds[1] < 0.5 * sds[0]


def test_totals_are_over_the_genes_that_the_model_counted(table) -> None:
    """Genes that only the reference has, loud in one type, change nothing, as told totals say."""
    cells = make_reference()
    loud = np.where(cells.obs["cell_type"] == "tumour", 50_000, 10)[:, None]
    more = ad.concat([cells, AnnData(loud, cells.obs, pd.DataFrame(index=["MT"]))], axis=1)
    more.obs = cells.obs
    table.uns["stflow"] = {
        "units": "cp10k",
        "total_genes": np.array(GENES),
        "total_shares": np.full(N_GENES, 1 / N_GENES),
    }
    for each, key in ((cells, "a"), (more, "b")):
        stf.tl.score_cell_types(table, each, key_added=key)
    np.testing.assert_allclose(table.obsm["a"], table.obsm["b"])
    table.uns["stflow"]["total_genes"] = np.array([*GENES[:-1], "LOST"])
    table.uns["stflow"]["total_shares"] = np.array([*[0.02] * (N_GENES - 1), 0.22])
    with pytest.warns(UserWarning, match=r"lacks 1 genes that hold 22% of the counts .*'LOST'"):
        stf.tl.score_cell_types(table, cells, overwrite=True)


def test_inplace_overwrite_and_names(table) -> None:
    copy = stf.tl.score_cell_types(table, make_reference(), inplace=False)
    assert KEY not in table.obsm
    assert KEY in copy.obsm
    with pytest.raises(ValueError, match=r"'stflow_cell_types'.*overwrite=True"):
        stf.tl.score_cell_types(copy, make_reference())
    stf.tl.score_cell_types(copy, make_reference(), overwrite=True)
    table.obs["mine_unexplained"] = 0.0
    with pytest.raises(ValueError, match="already holds 'mine_unexplained'"):
        stf.tl.score_cell_types(table, make_reference(), key_added="mine")
    with pytest.raises(ValueError, match=r"write over 'stflow', 'stflow_sd', .* this call reads"):
        stf.tl.score_cell_types(table, make_reference(), key_added="stflow", overwrite=True)


def test_it_stays_as_it_is_on_disk(table, tmp_path) -> None:
    stf.tl.score_cell_types(table, make_reference())
    table.write_zarr(tmp_path / "t.zarr")
    again = ad.read_zarr(tmp_path / "t.zarr")
    before, after = (stf.get.intervals(each, key=KEY) for each in (table, again))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other)


def test_counts_may_lie_in_a_layer_dense_or_on_disk(table, tmp_path) -> None:
    cells = make_reference()
    cells.layers["counts"] = cells.X.toarray()
    cells.X = cells.X.log1p()
    with pytest.raises(ValueError, match=r"reference .* not whole numbers.*layers 'counts'"):
        stf.tl.score_cell_types(table, cells)
    stf.tl.score_cell_types(table, cells, layer="counts", key_added="layer")
    make_reference().write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    lazy = ad.experimental.read_lazy(tmp_path / "cells.h5ad")
    for key, each in (("disk", backed), ("lazy", lazy)):
        stf.tl.score_cell_types(table, each, key_added=key)
        np.testing.assert_allclose(table.obsm["layer"], table.obsm[key])
    backed.file.close()


def test_what_is_not_used_is_said(table) -> None:
    cells = make_reference()[:, 2:].copy()
    cells.X[:, 0] = 0
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs.iloc[0, 0] = np.nan
    cells = cells[[*range(45), *range(80, 120)]].copy()
    with (
        pytest.warns(UserWarning, match="3 of 40 genes .* not used: 'G0', 'G1', 'G2'"),
        pytest.warns(UserWarning, match="1 of 85 cells of the reference have no label"),
        pytest.warns(UserWarning, match="Fewer than 10 cells .* typical of 'T/NK'"),
    ):
        stf.tl.score_cell_types(table, cells)
    assert list(table.uns[KEY]["missing"]) == GENES[:3]
    assert list(table.uns[KEY]["n_cells"]) == [39, 5, 40]


def test_types_that_genes_cannot_tell_apart_are_said(table) -> None:
    cells = make_reference()
    cells.obs["cell_type"] = [*["B cell"] * 20, *["plasma"] * 20, *["T/NK"] * 40, *["tumour"] * 40]
    with pytest.warns(UserWarning, match=r"hardly tell some .*: 'B cell and plasma \(1\.00\)'"):
        stf.tl.score_cell_types(table, cells)
    assert table.uns[KEY]["similarity"].shape == (4, 4)


def without_labels(cells: AnnData) -> AnnData:
    cells.obs = cells.obs.rename(columns={"cell_type": "leiden"})
    return cells


def renamed(names) -> AnnData:
    cells = make_reference()
    cells.var_names = names
    return cells


def with_counts(value: float) -> AnnData:
    cells = make_reference()
    cells.X.data[0] = value
    return cells


def silent() -> AnnData:
    cells = make_reference()
    cells.X = sp.csr_matrix(
        cells.X.toarray() * (cells.obs["cell_type"] != "T/NK").to_numpy()[:, None]
    )
    return cells


BAD = {
    "labels": (
        without_labels(make_reference()),
        KeyError,
        "'cell_type'; available: 'leiden'.*labels",
    ),
    "type": (make_reference(n_types=1), ValueError, "names 1 types of cells .'B cell'.; fractions"),
    "table": (pd.DataFrame(), TypeError, "`reference` is a DataFrame, not an AnnData"),
    "twice": (renamed([*GENES[:-1], "G0"]), ValueError, "Duplicated genes in the reference: 'G0'"),
    "case": (renamed([g.lower() for g in GENES]), KeyError, "No gene of the panel.*capitals alone"),
    "ids": (
        renamed([f"ENSG{i:011}" for i in range(N_GENES)]),
        KeyError,
        "The reference is named by Ensembl ids",
    ),
    "negative": (with_counts(-1), ValueError, "X of the reference holds negative"),
    "nan": (with_counts(np.nan), ValueError, "X of the reference holds 1 values that are NaN"),
    "logged": (with_counts(0.5), ValueError, "X of the reference holds values that are not whole"),
    "few": (make_reference()[:, :2], ValueError, "has 3 types, and 2 genes of the panel"),
    "silent": (silent(), ValueError, "'T/NK' express none of the 40 genes"),
}


@pytest.mark.parametrize(("cells", "error", "message"), BAD.values(), ids=BAD)
def test_bad_references(table, cells, error, message) -> None:
    with pytest.raises(error, match=message):
        stf.tl.score_cell_types(table, cells)
    assert KEY not in table.obsm


def test_without_samples_it_says_how_to_get_them(table) -> None:
    few = table.copy()
    few.obsm["stflow_samples"] = few.obsm["stflow_samples"][..., :8]
    with pytest.warns(UserWarning, match="are of 8 samples"):
        stf.tl.score_cell_types(few, make_reference())
    del table.obsm["stflow_samples"]
    with pytest.raises(KeyError, match=r"No samples .* Run `stf.tl.predict\(..., n_samples=100"):
        stf.tl.score_cell_types(table, make_reference())
    del table.obsm["stflow_sd"]
    with pytest.raises(KeyError, match="No standard deviation"):
        stf.tl.score_cell_types(table, make_reference())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:All slides are of patient")
def test_fractions_of_measured_counts_are_held_on_a_section_left_out(embedded) -> None:
    """Clusters of a section's spots stand for types of cells."""
    train, test = embedded("C2"), embedded("C5")
    genes = stf.pp.select_genes(train, n_top_genes=20)
    model = stf.tl.fit(train, genes, **{**SMALL, "config": SHAPE, "max_epochs": 5})
    stf.tl.predict(test, model, n_samples=100, keep_samples=True, device="cpu")
    cells = train["table"].copy()
    cells = cells[cells.to_df().sum(axis=1) >= 100].copy()
    kinds = KMeans(3, n_init=3, random_state=0).fit_predict(cp10k(cells)[genes])
    cells.obs["cell_type"] = [f"kind {kind}" for kind in kinds]
    stf.tl.score_cell_types(test, cells)
    enough = np.asarray(test["table"].to_df().sum(axis=1)) >= 100
    measured = predicted(cp10k(test["table"])[genes].to_numpy()[..., None].repeat(2, 2), genes)
    with pytest.warns(UserWarning, match="of 2 samples"):
        stf.tl.score_cell_types(measured, cells)
    for level in (0.5, 0.9):
        lower, upper = stf.get.intervals(test, level, key=KEY)
        held = coverage(*(each.to_numpy()[enough] for each in (measured.obsm[KEY], lower, upper)))
        assert held.mean() == pytest.approx(level, abs=0.15)
    away = np.abs(test["table"].obsm[KEY].to_numpy() - measured.obsm[KEY].to_numpy())[enough].mean()
    level = measured.obsm[KEY][enough].mean().to_numpy()
    assert away < np.abs(measured.obsm[KEY].to_numpy()[enough] - level).mean()
