"""Bounds of a prediction: known answers, slides that share a shift, and refusals."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats
from spatialdata import SpatialData

from stflow.get import intervals
from stflow.metrics import coverage, gaussian_interval, normal_sd, shifted_interval

PANEL = ["C", "A"]
SHIFT = np.array([0.3, 0.0])


def make_table(df: float = 1.0, *, mean: float = 2.0, n_spots: int = 30) -> AnnData:
    """A prediction of two genes, of which the first shifts from slide to slide."""
    rng = np.random.default_rng(0)
    table = AnnData(np.zeros((n_spots, 3)), var=pd.DataFrame(index=list("ABC")))
    values = mean + rng.normal(0, 0.1, size=(n_spots, 2))
    spots = rng.uniform(0.3, 0.5, size=(n_spots, 2))
    sd = np.hypot(spots, normal_sd(df) * SHIFT)
    table.obsm["stflow"] = pd.DataFrame(values, table.obs_names, PANEL)
    table.obsm["stflow_sd"] = pd.DataFrame(sd, table.obs_names, PANEL)
    table.uns["stflow"] = {"genes": np.array(PANEL), "shift": SHIFT, "shift_df": df}
    return table


def parts(table: AnnData) -> tuple[np.ndarray, np.ndarray]:
    return table.obsm["stflow"].to_numpy(), table.obsm["stflow_sd"].to_numpy()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_bounds_are_those_of_the_shift_by_gene(level: float):
    table = make_table()
    bounds = intervals(SpatialData(tables={"table": table}), level)
    expected = shifted_interval(*parts(table), shift=SHIFT, df=1, level=level)
    normal = gaussian_interval(*parts(table), level=level)
    for found, bound, other in zip(bounds, expected, normal, strict=True):
        assert found.columns.tolist() == PANEL
        assert found.index.equals(table.obs_names)
        np.testing.assert_array_equal(found, np.maximum(bound, 0))
        np.testing.assert_array_equal(found["A"], np.maximum(other[:, 1], 0))
        assert (found["C"] != other[:, 0]).all()


def test_nothing_is_below_zero_and_nothing_is_written():
    table = make_table(mean=0.1)
    table.obsm["stflow"].iloc[0] = -9.0
    before = table.copy()
    lower, upper = intervals(table)
    assert (lower == 0).all(axis=None)
    assert (upper.iloc[1:] > 0).all(axis=None)
    assert (upper.iloc[0] == 0).all()
    assert list(table.obsm) == list(before.obsm)
    pd.testing.assert_frame_equal(table.obsm["stflow"], before.obsm["stflow"])


def test_a_slash_is_written_as_in_the_prediction(tmp_path):
    table = make_table()
    for key in ("stflow", "stflow_sd"):
        table.obsm[key].columns = ["HBA1%2F2", "A"]
    table.uns["stflow"]["genes"] = np.array(["HBA1/2", "A"])
    lower, _ = intervals(table)
    assert lower.columns.tolist() == ["HBA1%2F2", "A"]
    np.testing.assert_array_equal(lower, intervals(make_table())[0])
    table.obsm["lower"] = lower
    table.write_zarr(tmp_path / "t.zarr")


def test_without_a_shift_bounds_are_normal():
    table = make_table()
    normal = gaussian_interval(*parts(table), level=0.9)
    for change in ({"shift_df": np.inf}, {"shift": np.zeros(2)}, None):
        other = table.copy()
        if change is None:
            del other.uns["stflow"]["shift"], other.uns["stflow"]["shift_df"]
        else:
            other.uns["stflow"].update(change)
        for found, bound in zip(intervals(other), normal, strict=True):
            np.testing.assert_array_equal(found, bound.clip(min=0))


def test_where_spots_were_observed_bounds_are_normal(two_regions):
    table = two_regions["table"]
    genes = list(table.var_names[[4, 1]])
    like = make_table(n_spots=table.n_obs)
    for key in ("stflow", "stflow_sd"):
        table.obsm[key] = pd.DataFrame(like.obsm[key].to_numpy(), table.obs_names, genes)
    table.uns["stflow"] = {**like.uns["stflow"], "genes": np.array(genes)}
    in_a = (table.obs["region"] == "a").to_numpy()
    table.obs["stflow_observed"] = in_a & (np.arange(table.n_obs) % 7 == 0)
    assert table.obs["stflow_observed"].sum() > 1
    normal = gaussian_interval(*parts(table), level=0.9)
    shifted = shifted_interval(*parts(table), shift=SHIFT, df=1, level=0.9)
    for found, ours, others in zip(intervals(two_regions), normal, shifted, strict=True):
        np.testing.assert_array_equal(found[in_a], ours[in_a].clip(min=0))
        np.testing.assert_array_equal(found[~in_a], others[~in_a].clip(min=0))


def test_slides_that_shift_are_covered_as_claimed():
    """800 slides of 30 spots each; the normal of the spots alone claims too much."""
    rng, covered, proud = np.random.default_rng(1), [], []
    table = make_table(mean=6.0)
    mean, sd = parts(table)
    spots = np.sqrt(sd**2 - (normal_sd(1) * SHIFT) ** 2)
    levels = (0.5, 0.8, 0.9)
    bounds = [[each.to_numpy() for each in intervals(table, level)] for level in levels]
    alone = [gaussian_interval(mean, spots, level=level) for level in levels]
    for _ in range(800):
        moved = mean + SHIFT * stats.t.rvs(1, size=2, random_state=rng)
        measured = rng.normal(moved, spots)
        covered.append([coverage(measured, *each) for each in bounds])
        proud.append([coverage(measured, *each) for each in alone])
    np.testing.assert_allclose(np.mean(covered, 0), np.transpose([levels] * 2), atol=0.03)
    assert (np.mean(proud, 0)[:, 0] < np.array(levels) - 0.1).all()


def test_a_shift_survives_the_disk(tmp_path):
    for df in (1.0, np.inf):
        table = make_table(df)
        expected = intervals(table, 0.8)
        table.write_h5ad(tmp_path / f"{df}.h5ad")
        table.write_zarr(tmp_path / f"{df}.zarr")
        for again in (ad.read_h5ad(tmp_path / f"{df}.h5ad"), ad.read_zarr(tmp_path / f"{df}.zarr")):
            assert again.uns["stflow"]["shift_df"] == df
            for found, bound in zip(intervals(again, 0.8), expected, strict=True):
                pd.testing.assert_frame_equal(found, bound)


def test_refusals():
    table = make_table()
    for level in (0.0, 1.0, 90, np.nan, "other"):
        with pytest.raises(ValueError, match="`level` must be between 0 and 1, not"):
            intervals(table, level)
    with pytest.raises(KeyError, match=r"No prediction 'other' in table 'table'; obsm: 'stflow'"):
        intervals(table, key="other")
    with pytest.raises(KeyError, match="No table 'cells'"):
        intervals(SpatialData(tables={"table": table}), table_key="cells")
    table.uns["stflow"]["shift_df"] = 0.0
    with pytest.raises(ValueError, match=r"degrees of freedom, 0\.0, below 1.*tl\.predict"):
        intervals(table)
    del table.obsm["stflow_sd"], table.uns["stflow"]
    with pytest.raises(KeyError, match=r"No standard deviation 'stflow_sd' .*at least 2 samples"):
        intervals(table)
