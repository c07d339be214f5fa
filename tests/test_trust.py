"""Which genes can be trusted, and slides that a model knows: told wherever predictions are."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from spatialdata import SpatialData
from support import SHAPE, SMALL, make_tissue

import stflow as stf

QUIET: dict[str, Any] = {"n_samples": 2, "n_steps": 1, "show_progress_bar": False}
COLUMNS = ("pearson", "partial", "ceiling", "coverage_90", "fdr")
NEW = "what it predicts there says nothing of how well it does on a new slide"


@pytest.fixture(scope="module")
def halved() -> stf.STFlow:
    """A model fitted to slides large enough that halves of them stop the flow in turn."""
    slides = make_tissue(3, n_spots=144, seed=1)
    genes = [*stf.pp.select_genes(slides, 4), "SILENT"]
    for sdata in slides.values():
        table = sdata["table"]
        silent = ad.AnnData(np.zeros((table.n_obs, 1)), table.obs, pd.DataFrame(index=["SILENT"]))
        more = ad.concat([table, silent], axis=1, merge="first", uns_merge="first")
        more.obsm, more.obsp = table.obsm, table.obsp
        del sdata.tables["table"]
        sdata.tables["table"] = more
    shape = {**SHAPE, "n_flows": 3}
    return stf.tl.fit(slides, genes, **{**SMALL, "config": shape, "max_epochs": 6})


def test_the_model_says_how_far_each_gene_can_be_trusted(halved) -> None:
    trust = halved.trust
    assert list(trust.index) == list(halved.genes)
    assert trust.index.name == "gene"
    assert set(trust) == {*COLUMNS, "p_value", "n_slides", "n_spots"}
    assert (trust["n_slides"] == 3).all()
    known = trust.drop("SILENT")
    assert (known[["pearson", "partial"]] <= known[["ceiling"]].to_numpy() + 0.15).all(axis=None)
    assert known["p_value"].between(0, 1).all()
    assert (known["fdr"] >= known["p_value"]).all()
    assert (known["fdr"] < 0.05).any()
    assert trust.loc["SILENT", ["pearson", "p_value", "fdr"]].isna().all()


def test_trust_is_saved_and_shown(halved, tmp_path) -> None:
    halved.save(tmp_path / "m")
    again = stf.STFlow.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.trust, halved.trust)
    found = int((halved.trust["fdr"] < 0.05).sum())
    mean = halved.trust["pearson"].mean()
    told = f"{found} of 5 genes predicted on unseen spots at a false discovery rate of 5%: Pearson "
    assert f"{told}{mean:.3f}, ceiling" in repr(again)


def test_a_file_without_trust_is_damaged(halved, tmp_path) -> None:
    halved.save(tmp_path / "m")
    file = tmp_path / "m" / "model.json"
    file.write_text(file.read_text().replace('"fdr"', '"other"'))
    with pytest.raises(ValueError, match="is not a whole stflow model: its 'trust' lacks 'fdr'"):
        stf.STFlow.load(tmp_path / "m")


def test_predictions_carry_trust(tissue, model, tmp_path) -> None:
    stf.tl.predict(tissue["S1"], model, **QUIET)
    table = tissue["S1"]["table"]
    outside = ~table.var["stflow"].to_numpy()
    for score in COLUMNS:
        column = table.var[f"stflow_{score}"]
        assert column.dtype == np.float64
        assert column[outside].isna().all()
        pd.testing.assert_series_equal(
            column[list(model.genes)], model.trust[score], check_names=False
        )
    assert outside.sum() == 4
    assert table.var["stflow_pearson"].notna().any()
    tissue["S1"].write(tmp_path / "s.zarr")
    again = SpatialData.read(tmp_path / "s.zarr")["table"].var
    columns = [f"stflow_{score}" for score in COLUMNS]
    pd.testing.assert_frame_equal(again[columns], table.var[columns])
    panel = stf.get.predicted(tissue["S1"]).var
    assert list(panel["stflow_fdr"]) == list(model.trust["fdr"])


def test_columns_of_trust_are_not_overwritten_unasked(tissue, model) -> None:
    var = tissue["S1"]["table"].var
    var["stflow_fdr"] = "mine"
    with pytest.raises(ValueError, match="already holds 'stflow_fdr'"):
        stf.tl.predict(tissue["S1"], model, **QUIET)
    assert "stflow" not in tissue["S1"]["table"].obsm
    stf.tl.predict(tissue["S1"], model, overwrite=True, **QUIET)
    assert tissue["S1"]["table"].var["stflow_fdr"].dtype == np.float64


def test_a_fit_whose_spots_are_too_few_says_so(tissue) -> None:
    """The few that 32 spots hold out have no halves with a gap between them."""
    table = tissue["S1"]["table"][:32].copy()
    stf.pp.neighbors(table, overwrite=True)
    few = stf.tl.fit(table, ["GENE001", "GENE002"], **{**SMALL, "max_epochs": 1})
    assert few.trust["pearson"].isna().all()
    assert "no spot was left to say which genes can be trusted" in repr(few)


def known(slides: dict[str, SpatialData]) -> stf.STFlow:
    return stf.tl.fit(slides, ["GENE001", "GENE002"], **{**SMALL, "max_epochs": 1})


def told(messages: list[warnings.WarningMessage]) -> list[str]:
    return [str(each.message) for each in messages if "was trained on" in str(each.message)]


def test_a_slide_of_the_fit_is_told_once_and_marked(tissue, tmp_path) -> None:
    model = known({name: tissue[name] for name in ("S1", "S2")})
    stf.tl.predict(tissue["S3"], model, **QUIET)
    assert stf.tl.evaluate(tissue["S3"]).attrs["trained_on"] == []
    with pytest.warns(UserWarning, match=f"The model was trained on this slide: {NEW}") as first:
        stf.tl.predict(tissue["S1"], model, **QUIET)
    with pytest.warns(UserWarning, match=f"The model was trained on this slide: {NEW}") as second:
        scores = stf.tl.evaluate(tissue["S1"])
    assert [each.filename for each in (*first, *second)] == [__file__] * 2
    assert scores.attrs["trained_on"] == ["spots"]
    both = {name: tissue[name] for name in ("S1", "S3")}
    with pytest.warns(UserWarning, match=f"The model was trained on 'S1': {NEW}") as found:
        assert stf.tl.evaluate(both).attrs["trained_on"] == ["S1"]
    assert len(told(list(found))) == 1


@pytest.mark.parametrize("seen", [True, False])
def test_marks_survive_a_store(tissue, tmp_path, seen: bool) -> None:
    model = known({name: tissue[name] for name in ("S1", "S2")})
    sdata = tissue["S1" if seen else "S3"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        stf.tl.predict(sdata, model, **QUIET)
    assert list(sdata["table"].uns["stflow"]["trained_on"]) == ["slide"] * seen
    sdata.write(tmp_path / "s.zarr")
    sdata["table"].write_h5ad(tmp_path / "s.h5ad")
    for again in (SpatialData.read(tmp_path / "s.zarr"), ad.read_h5ad(tmp_path / "s.h5ad")):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            scores = stf.tl.evaluate(again)
        assert len(told(found)) == len(scores.attrs["trained_on"]) == seen
        assert scores.attrs["units"] == "cp10k"


def test_another_embedding_of_the_slide_is_another_slide(tissue) -> None:
    """Negative control: it is the vectors that are known, not the name."""
    model = known({name: tissue[name] for name in ("S1", "S2")})
    tissue["S1"]["table"].obsm["X_embedding"] += np.float32(1e-3)
    stf.tl.predict(tissue["S1"], model, **QUIET)
    assert len(tissue["S1"]["table"].uns["stflow"]["trained_on"]) == 0


def test_a_spot_that_the_fit_left_out_hides_no_slide(tissue) -> None:
    counts = tissue["S1"]["table"].X.toarray()
    counts[:5] = 0
    tissue["S1"]["table"].X = type(tissue["S1"]["table"].X)(counts)
    model = known({name: tissue[name] for name in ("S1", "S2")})
    assert model.info["left_out"]["S1"] == 5
    with pytest.warns(UserWarning, match="The model was trained on this slide"):
        stf.tl.predict(tissue["S1"], model, **QUIET)


def test_regions_of_one_table(two_regions, tissue, tmp_path) -> None:
    """Region ``a`` is S1, which the model knows, ``b`` is S2, which it does not."""
    model = known({name: deepcopy(tissue[name]) for name in ("S1", "S3")})
    with pytest.warns(UserWarning, match=f"The model was trained on 'a': {NEW}"):
        stf.tl.predict(two_regions, model, **QUIET)
    assert list(two_regions["table"].uns["stflow"]["trained_on"]) == ["a"]
    two_regions.write(tmp_path / "s.zarr")
    for each in (two_regions, SpatialData.read(tmp_path / "s.zarr")):
        with pytest.warns(UserWarning, match=f"The model was trained on 'a': {NEW}"):
            assert stf.tl.evaluate(each).attrs["trained_on"] == ["a"]
    with pytest.warns(UserWarning, match="The model was trained on 'T/a'"):
        assert stf.tl.evaluate({"T": two_regions}).attrs["trained_on"] == ["T/a"]


def legend(axes) -> list[str]:
    box = axes.get_legend()
    return [] if box is None else [text.get_text() for text in box.get_texts()]


def test_a_plot_of_trust_marks_what_may_be_chance(halved) -> None:
    trust = halved.trust.drop("SILENT")
    trust.loc[trust.index[0], "fdr"] = 0.5
    trust.loc[trust.index[1:], "fdr"] = 0.01
    axes = stf.pl.scores(trust, show=False)
    told = ["prediction", "ceiling of counting noise", "false discovery rate 5% or more"]
    assert legend(axes) == told
    rings = next(line for line in axes.lines if line.get_label() == told[2])
    assert rings.get_xdata() == pytest.approx([trust["pearson"].iloc[0]])
    assert rings.get_markerfacecolor() == "w"
    bars = next(line for line in axes.lines if line.get_label() == told[1])
    np.testing.assert_allclose(bars.get_xdata(), trust.sort_values("pearson")["ceiling"])
    assert legend(stf.pl.scores(trust, metric="partial", show=False)) == []


def test_a_plot_of_scores_shows_depth_and_ceiling(tissue, model) -> None:
    stf.tl.predict(tissue["S1"], model, **QUIET)
    scores = stf.tl.evaluate(tissue["S1"])
    axes = stf.pl.scores(scores, show=False)
    assert legend(axes) == ["prediction", "ceiling of counting noise", "depth alone"]
    depth = next(line for line in axes.lines if line.get_label() == "depth alone")
    np.testing.assert_allclose(depth.get_xdata(), scores.sort_values("pearson")["pearson_depth"])
    assert legend(stf.pl.scores(scores[["pearson"]], show=False)) == []
