"""Synthetic cells: their law holds at every scale, spots are their sums, the image shows them."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom
from spatialdata import SpatialData
from support import snapshot

from stflow.datasets import redraw, synthetic, synthetic_cells
from stflow.datasets._cell_law import draw_cell_law


@pytest.fixture(scope="module")
def slide() -> SpatialData:
    return synthetic_cells(1, n_spots=100, n_genes=20, image_mpp=2.0)["S1"]


def test_convention(slide: SpatialData) -> None:
    cells, spots = slide["cells_table"], slide["table"]
    assert spots.shape == (100, 20)
    assert list(cells.obs["spot_id"]) == list(slide["cells"].index)
    assert set(cells.obs["region"]) == {"cells"}
    assert slide["cells"].geometry.is_valid.all()
    inside = shapely.contains_xy(slide["cells"].geometry.values, cells.obsm["spatial"])
    assert inside.all()
    most = np.pi * (8 / 2.0) ** 2
    assert slide["cells"].area.max() <= most + 1e-6
    overlap = slide["cells"].area.sum() - slide["cells"].union_all().area
    assert overlap < 1e-6 * most * cells.n_obs


def test_spots_are_sums_of_cells(slide: SpatialData) -> None:
    """Negative control: the sums of a spot's neighbour are others."""
    cells, spots = slide["cells_table"], slide["table"]
    away = np.linalg.norm(spots.obsm["spatial"][:, None] - cells.obsm["spatial"][None], axis=2)
    under = (away <= slide["spots"]["radius"].to_numpy()[:, None]).astype(int)
    sums = under @ cells.X.toarray()
    assert (spots.X.toarray() == sums).all()
    assert (spots.X.toarray() != np.roll(sums, 1, axis=0)).any(axis=1).mean() > 0.9
    np.testing.assert_allclose(spots.layers["mean"], under @ cells.layers["mean"], rtol=1e-4)


def test_means_follow_the_law(slide: SpatialData) -> None:
    cells = slide["cells_table"]
    law, domains = cells.uns["synthetic"], cells.obs["domain"].cat.codes.to_numpy()
    around = cells.obsm["around"]
    np.testing.assert_allclose(around.sum(1), 1, atol=1e-3)
    own = around[np.arange(cells.n_obs), domains]
    assert own.mean() > 0.4
    log_mean = law["base"] + law["own"][domains] + around @ law["around"]
    wanted = np.exp(np.clip(log_mean, -8, 4))
    np.testing.assert_allclose(cells.layers["mean"], wanted, rtol=1e-4)


@pytest.mark.parametrize("table_key", ["table", "cells_table"])
def test_counts_follow_the_law(slide: SpatialData, table_key: str) -> None:
    """Mean and variance, of cells and of spots alike."""
    table = slide[table_key]
    counts, mean = table.X.toarray().astype(float), table.layers["mean"].astype(float)
    assert counts.sum() == pytest.approx(mean.sum(), rel=0.02)
    square, wanted = ((counts - mean) ** 2).sum(), 2 * mean.sum()
    assert square == pytest.approx(wanted, rel=0.15)
    gap = np.log1p(counts) - table.layers["expected"]
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(gap.size)
    assert 0.1 < table.uns["synthetic"]["best_pearson"] < 1


@given(log_mean=st.floats(-9, 8.5), overdispersion=st.floats(0.05, 20))
@example(log_mean=-12.0, overdispersion=1.0)
@settings(max_examples=20)
def test_expectation_is_exact(log_mean: float, overdispersion: float) -> None:
    law = draw_cell_law(1, 4, overdispersion=overdispersion, rng=np.random.default_rng(0))
    mean, success = np.exp(log_mean), 1 / (1 + overdispersion)
    counts = np.arange(int(nbinom.isf(1e-12, mean / overdispersion, success)) + 2)
    exact = nbinom.pmf(counts, mean / overdispersion, success) @ np.log1p(counts)
    assert law.expected_log1p(np.array([[mean]]))[0, 0] == pytest.approx(exact, abs=1e-4)
    assert law.expected_log1p(np.zeros((1, 1)))[0, 0] == 0


def test_the_image_is_that_of_synthetic() -> None:
    how = {"n_spots": 30, "pitch_um": 100.0, "image_mpp": 2.0}
    cells, spots = synthetic_cells(1, **how)["S1"], synthetic(1, **how)["S1"]
    same = [each["he"]["scale0"]["image"].to_numpy() for each in (cells, spots)]
    assert (same[0] == same[1]).all()
    image = same[0].mean(0)
    x, y = cells["cells_table"].obsm["spatial"].astype(int).T
    assert image[y, x].mean() < image.mean() - 20


def test_mixed_cells_look_and_count_as_their_kind() -> None:
    """They lie in any tissue; without mixing each lies in that of its kind."""
    how = {"n_spots": 60, "n_genes": 20, "image_mpp": 2.0}
    mixed, pure = (synthetic_cells(1, **how, mixing=share)["S1"] for share in (0.5, 0.0))
    own = []
    for sdata in (mixed, pure):
        cells = sdata["cells_table"]
        kinds = cells.obs["domain"].cat.codes.to_numpy()
        own.append(cells.obsm["around"][np.arange(cells.n_obs), kinds].mean())
    assert own[0] < own[1] - 0.05
    cells, image = mixed["cells_table"], mixed["he"]["scale0"]["image"].to_numpy().mean(0)
    law = cells.uns["synthetic"]
    kinds = cells.obs["domain"].cat.codes.to_numpy()
    log_mean = law["base"] + law["own"][kinds] + cells.obsm["around"] @ law["around"]
    np.testing.assert_allclose(cells.layers["mean"], np.exp(np.clip(log_mean, -8, 4)), rtol=1e-4)
    x, y = cells.obsm["spatial"].astype(int).T
    assert image[y, x].mean() < image.mean() - 20
    assert law["mixing"] == 0.5


def test_a_slide_does_not_depend_on_how_many_there_are() -> None:
    how = {"n_spots": 20, "n_genes": 3, "image_mpp": 4.0}
    alone, both = synthetic_cells(1, **how), synthetic_cells(2, **how)
    assert snapshot(alone["S1"]) == snapshot(both["S1"])
    assert snapshot(both["S1"]) != snapshot(both["S2"])
    assert snapshot(alone["S1"]) != snapshot(synthetic_cells(1, **how, seed=1)["S1"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_slides": 0}, "`n_slides` must be"),
        ({"n_genes": 0}, "`n_genes` must be"),
        ({"n_spots": 0}, "`n_spots` must be"),
        ({"mixing": 1.5}, "`mixing` must lie between 0 and 1, not 1.5"),
        ({"overdispersion": 0.0}, "`overdispersion` must lie between 0.01 and 100"),
        ({"lattice": "round"}, "available: 'square', 'hex', 'random'"),
    ],
)
def test_numbers_out_of_range(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic_cells(**wrong)


def test_the_law_of_cells_is_not_that_of_redraw(slide: SpatialData) -> None:
    with pytest.raises(KeyError, match=r"'domain_shares'.*cells have another law"):
        redraw(slide)
