"""Measured against predicted: which spots are drawn, how many, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm

from stflow.metrics import pearson
from stflow.pl import scatter

PANEL = ["A", "B"]


def make_table(n_spots: int = 400, seed: int = 0) -> AnnData:
    """Counts around a prediction in log1p counts."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(2, 6, size=(n_spots, len(PANEL)))
    counts = np.round(np.expm1(np.clip(rng.normal(mean, [0.2, 2.0]), 0, None)))
    table = AnnData(counts, var=pd.DataFrame(index=PANEL))
    table.obs_names = [f"{seed}_{name}" for name in table.obs_names]
    table.obsm["stflow"] = pd.DataFrame(mean, table.obs_names, PANEL)
    table.uns["stflow"] = {"units": "counts", "min_counts": 0.0}
    return table


def test_every_spot_is_counted_where_it_lies():
    table = make_table()
    axes = scatter(table, PANEL)
    measured, mean = np.log1p(table.X), table.obsm["stflow"].to_numpy()
    for i, (ax, score) in enumerate(zip(axes, pearson(measured, mean), strict=True)):
        drawn = ax.collections[0]
        assert drawn.get_array().sum() == 400
        assert ax.get_title() == f"{PANEL[i]}\nPearson {score:.2f}, 400 spots"
        middle = np.average(drawn.get_offsets(), axis=0, weights=drawn.get_array())
        step = np.ptp(ax.get_xlim()) / 20
        np.testing.assert_allclose(middle, [mean[:, i].mean(), measured[:, i].mean()], atol=step)
        assert ax.get_xlim() == ax.get_ylim()
        assert isinstance(drawn.norm, LogNorm)
        assert drawn.get_rasterized()
    most = max(ax.collections[0].get_array().max() for ax in axes)
    assert [ax.collections[0].norm.vmax for ax in axes] == [most] * 2
    assert axes[0].get_xlabel() == "predicted, log1p counts"
    assert [len(ax.child_axes) for ax in axes] == [0, 1]


def test_slides_are_pooled_without_observed_spots():
    first, second = make_table(), make_table(seed=1)
    second.obs["stflow_observed"] = np.arange(400) < 100
    axes = scatter({"a": first, "b": second}, "B")
    assert axes[0].collections[0].get_array().sum() == 700
    assert axes[0].get_title().endswith(", 700 spots")


def test_one_spot_has_a_panel_and_no_correlation():
    axes = scatter(make_table(1), "A")
    assert axes[0].get_title() == "A\nPearson undefined, 1 spot"
    assert axes[0].collections[0].get_array().tolist() == [1]


def test_a_silent_gene_has_no_correlation():
    table = make_table()
    table.X = table.X * [0, 1]
    assert "Pearson undefined" in scatter(table, "A")[0].get_title()


def test_many_spots_make_a_small_file_whose_text_is_text(tmp_path):
    table = make_table(20_000)
    scatter(table, "A", save=tmp_path / "many.svg", title="All of them")
    assert (tmp_path / "many.svg").stat().st_size < 500_000
    assert ">All of them</text>" in (tmp_path / "many.svg").read_text()
    scatter(table, "A", save=tmp_path / "many.pdf")
    assert (tmp_path / "many.pdf").stat().st_size < 500_000
    assert b"/Type0" in (tmp_path / "many.pdf").read_bytes()


def test_layout_and_axes():
    table = make_table()
    axes = scatter(table, PANEL, ncols=1, figsize=(3, 5), dpi=50)
    assert axes[0].figure.get_size_inches().tolist() == [3, 5]
    assert axes[0].get_position().y0 > axes[1].get_position().y1
    mine = plt.subplots(1, 2)[1]
    assert scatter(table, PANEL, ax=mine) == list(mine)


def test_refusals():
    table = make_table()
    with pytest.raises(KeyError, match="'NONE'; available: 'A', 'B'"):
        scatter(table, ["NONE"])
    with pytest.raises(ValueError, match="`ax` holds 1 axes for 2 genes"):
        scatter(table, PANEL, ax=plt.subplots()[1])
    plt.close("all")
    with pytest.raises(ValueError, match="`ncols` must be a positive number, not 0"):
        scatter(table, PANEL, ncols=0)
    with pytest.raises(KeyError, match=r"No prediction 'other' .*tl\.predict"):
        scatter(table, PANEL, "other")
    bare = AnnData(obs=table.obs, var=table.var, uns=dict(table.uns))
    bare.obsm["stflow"] = table.obsm["stflow"]
    with pytest.raises(ValueError, match="Nothing was measured"):
        scatter(bare, PANEL)
    table.obsm["stflow"].iloc[0, 0] = np.nan
    with pytest.raises(ValueError, match="1 values that are NaN"):
        scatter(table, PANEL)
    assert plt.get_fignums() == []
