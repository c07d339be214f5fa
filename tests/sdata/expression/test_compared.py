"""Slides read for comparison: arrays by gene and region, and the parts that all of them have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stflow._sdata.expression._compared import read_compared, with_common_parts

ASKED = {"layer": None, "genes": None, "table_key": "table", "units": "counts", "min_counts": 0}


@pytest.fixture
def table(tissue) -> AnnData:
    table = tissue["S1"]["table"]
    add_prediction(table)
    return table


def add_prediction(table: AnnData, n_samples: int = 3) -> None:
    """Add numbers that tell spot, gene and sample apart."""
    genes = list(table.var_names[[4, 1]])
    values = np.arange(2.0 * table.n_obs).reshape(-1, 2)
    table.obsm["stflow"] = pd.DataFrame(values, table.obs_names, genes)
    table.obsm["stflow_sd"] = pd.DataFrame(values + 0.5, table.obs_names, genes)
    samples = values[..., None] + np.arange(n_samples) / 10
    table.obsm["stflow_samples"] = samples.astype(np.float32)


def test_a_table_is_read_by_gene(table):
    genes, (slide,) = read_compared(table, "stflow", **ASKED)
    assert genes == list(table.obsm["stflow"].columns)
    np.testing.assert_array_equal(slide.measured, np.log1p(table.to_df()[genes].to_numpy(float)))
    np.testing.assert_array_equal(slide.predicted, table.obsm["stflow"])
    turned, (other,) = read_compared(table, "stflow", **{**ASKED, "genes": genes[::-1]})
    assert turned == genes[::-1]
    for part in ("measured", "predicted", "sd", "samples"):
        np.testing.assert_array_equal(getattr(slide, part)[..., ::-1], getattr(other, part))
    assert slide.samples.shape == (3, table.n_obs, 2)
    np.testing.assert_allclose(slide.samples[2] - slide.predicted, 0.2, atol=1e-5)
    assert (slide.graph != table.obsp["spatial_connectivities"]).nnz == 0


def test_each_region_is_a_slide_with_rows_of_its_own(two_regions):
    table = two_regions["table"]
    add_prediction(table)
    _, slides = read_compared({"T": two_regions}, "stflow", **ASKED)
    assert sorted(slide.name for slide in slides) == ["T/a", "T/b"]
    for slide in slides:
        rows = (table.obs["region"] == slide.name[-1]).to_numpy()
        np.testing.assert_array_equal(slide.predicted, table.obsm["stflow"][rows])
        np.testing.assert_array_equal(slide.sd, table.obsm["stflow_sd"][rows])
        np.testing.assert_allclose(slide.samples[0], slide.predicted)
        graph = table.obsp["spatial_connectivities"][rows][:, rows]
        assert (slide.graph != graph).nnz == 0


def test_what_one_slide_lacks_is_left_out_for_all(tissue):
    for sdata in tissue.values():
        add_prediction(sdata["table"])
    _, slides = read_compared(tissue, "stflow", **ASKED)
    assert [slide.name for slide in slides] == list(tissue)
    assert all(slide.samples is not None for slide in with_common_parts(slides))
    del tissue["S2"]["table"].obsm["stflow_samples"]
    _, slides = read_compared(tissue, "stflow", **ASKED)
    assert [slide.samples is None for slide in slides] == [False, True, False]
    common = with_common_parts(slides)
    assert all(slide.samples is None and slide.sd is not None for slide in common)


def test_samples_without_the_order_of_their_genes_are_left_alone(table):
    frame = table.obsm.pop("stflow")
    table.layers["stflow"] = frame.reindex(columns=table.var_names).to_numpy()
    _, (slide,) = read_compared(table, "stflow", **ASKED)
    assert slide.samples is None
    assert slide.sd is not None


def test_samples_of_another_panel(table):
    table.obsm["stflow_samples"] = table.obsm["stflow_samples"][:, :1]
    with pytest.raises(ValueError, match=r"shape \(64, 1, 3\), not .* 64 spots and 2 genes"):
        read_compared(table, "stflow", **ASKED)


def test_spots_that_measured_too_little_are_left_out_of_all_parts(table):
    table.X[[3, 5]] = 0
    totals = np.ravel(table.X.sum(axis=1))
    _, (whole,) = read_compared(table, "stflow", **ASKED)
    assert (whole.n_left_out, len(whole.measured)) == (0, table.n_obs)
    for floor, kept in (
        (None, totals > 0),
        (float(np.median(totals)), totals >= np.median(totals)),
    ):
        _, (slide,) = read_compared(table, "stflow", **{**ASKED, "min_counts": floor})
        assert slide.n_left_out == (~kept).sum()
        for part in ("counts", "totals", "measured", "predicted", "sd"):
            np.testing.assert_array_equal(getattr(slide, part), getattr(whole, part)[kept])
        np.testing.assert_array_equal(slide.samples, whole.samples[:, kept])
        assert (slide.graph != whole.graph[kept][:, kept]).nnz == 0
    with pytest.raises(ValueError, match="or hold fewer counts than `min_counts=`"):
        read_compared(table, "stflow", **{**ASKED, "min_counts": 1e9})


def test_observed_spots_are_left_out_of_all_parts(table):
    _, (whole,) = read_compared(table, "stflow", **ASKED)
    given = np.arange(table.n_obs) % 4 == 0
    table.obs["stflow_observed"] = given
    _, (slide,) = read_compared(table, "stflow", **ASKED)
    assert slide.name == whole.name
    for part in ("measured", "predicted", "sd"):
        np.testing.assert_array_equal(getattr(slide, part), getattr(whole, part)[~given])
    np.testing.assert_array_equal(slide.samples, whole.samples[:, ~given])
    assert (slide.graph != whole.graph[~given][:, ~given]).nnz == 0
    table.obs["stflow_observed"] = False
    _, (none_given,) = read_compared(table, "stflow", **ASKED)
    np.testing.assert_array_equal(none_given.predicted, whole.predicted)


def test_a_slide_that_was_observed_altogether_is_none(two_regions, table):
    regions = two_regions["table"]
    add_prediction(regions)
    regions.obs["stflow_observed"] = (regions.obs["region"] == "a").to_numpy()
    _, slides = read_compared({"T": two_regions}, "stflow", **ASKED)
    assert [slide.name for slide in slides] == ["T/b"]
    table.obs["stflow_observed"] = True
    with pytest.raises(ValueError, match=r"all of 'stflow' were observed, .*tl\.predict"):
        read_compared(table, "stflow", **ASKED)


def test_which_spots_were_observed_must_be_known(table):
    table.obs["stflow_observed"] = np.where(np.arange(table.n_obs) > 3, True, None)
    message = r"'stflow_observed'\] of table 'table' must be one True or False a spot, not object"
    with pytest.raises(ValueError, match=message):
        read_compared(table, "stflow", **ASKED)
