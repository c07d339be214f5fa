"""Slides as arrays."""

from __future__ import annotations

import numpy as np
import pytest
from support import cp10k

import stflow as stf

PANEL = ["GENE002", "GENE001"]


def test_slides_hold_what_the_tables_hold(tissue) -> None:
    found = stf.get.slides(tissue, PANEL)
    assert [slide.name for slide in found] == list(tissue)
    assert all(isinstance(slide, stf.Slide) for slide in found)
    table = tissue["S2"]["table"]
    assert np.array_equal(found[1].embedding, table.obsm["X_embedding"])
    assert found[1].genes == tuple(PANEL)
    assert np.allclose(found[1].expression, cp10k(table)[PANEL])
    assert np.array_equal(found[1].totals, table.X.sum(axis=1).A1)
    assert found[1].units == "cp10k"
    raw = stf.get.slides(tissue, PANEL, units="counts")[1]
    assert np.allclose(raw.expression, np.log1p(table[:, PANEL].X.toarray()))
    assert raw.units == "counts"
    (bare,) = stf.get.slides(tissue["S1"])
    assert (bare.name, bare.expression, bare.totals, bare.genes) == ("slide", None, None, ())


def test_totals_may_be_a_column_of_obs(tissue) -> None:
    table = tissue["S1"]["table"]
    table.obs["all"] = totals = table.X.sum(axis=1).A1 * 3
    (slide,) = stf.get.slides(table, PANEL, total_key="all")
    assert np.array_equal(slide.totals, totals)
    assert np.allclose(slide.expression, cp10k(table, totals)[PANEL])


def test_expression_in_other_units_is_not_what_was_observed(tissue, model) -> None:
    seen = np.arange(tissue["S3"]["table"].n_obs) < 5
    (raw,) = stf.get.slides(tissue["S3"], model.genes, units="counts")
    message = r"expression of slide is in log1p counts, the model's in log1p counts per 10,000"
    with pytest.raises(ValueError, match=message):
        model.predict(raw, observed=seen)
    assert model.predict(raw, n_samples=2).units == "cp10k"


def test_a_model_and_a_baseline_take_them(tissue, model) -> None:
    (slide,) = stf.get.slides(tissue["S3"])
    found = model.predict(slide, n_samples=2)
    table = stf.tl.predict(tissue["S3"], model, n_samples=2, inplace=False)
    assert np.array_equal(found.mean, table.obsm["stflow"].to_numpy())
    train = stf.get.slides({name: tissue[name] for name in ("S1", "S2")}, PANEL)
    assert stf.baselines.TrainingMean().fit(train).predict(slide).shape == (slide.n_spots, 2)


def test_observed_spots_of_arrays_are_those_of_tables(tissue, model) -> None:
    sdata, seen = tissue["S3"], np.arange(tissue["S3"]["table"].n_obs) < 5
    (slide,) = stf.get.slides(sdata, model.genes)
    found = model.predict(slide, n_samples=2, observed=seen)
    table = stf.tl.predict(sdata, model, n_samples=2, observed=seen, inplace=False)
    assert np.array_equal(found.mean, table.obsm["stflow"].to_numpy())
    with pytest.raises(ValueError, match=r"booleans of shape \(\d+,\), one a spot of slide"):
        model.predict(slide, observed=np.flatnonzero(seen))
    (bare,) = stf.get.slides(sdata)
    with pytest.raises(ValueError, match="does not hold the expression of the model's genes"):
        model.predict(bare, observed=seen)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"genes": ["nope"]}, KeyError, "'nope'"),
        ({"genes": []}, ValueError, "`genes` is empty"),
        ({"embedding_key": "X_none"}, KeyError, "'X_none'.*`stf.pp.embed"),
        ({"table_key": "desk"}, KeyError, "'desk'"),
        ({"genes": PANEL, "layer": "raw"}, KeyError, "'raw'"),
        ({"units": "tpm"}, ValueError, "`units` is 'tpm'; available: 'cp10k', 'counts'"),
        ({"genes": PANEL, "total_key": "all"}, KeyError, "'all'; available: 'region', 'spot_id'"),
    ],
)
def test_bad_arguments(tissue, how: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        stf.get.slides(tissue, **how)


def test_several_slides_need_names(tissue) -> None:
    with pytest.raises(TypeError, match="pass several slides as a dict"):
        stf.get.slides(list(tissue.values()))
