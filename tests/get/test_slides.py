"""Slides as arrays."""

from __future__ import annotations

import numpy as np
import pytest

import stflow as stf

PANEL = ["GENE002", "GENE001"]


def test_slides_hold_what_the_tables_hold(tissue) -> None:
    found = stf.get.slides(tissue, PANEL)
    assert [slide.name for slide in found] == list(tissue)
    assert all(isinstance(slide, stf.Slide) for slide in found)
    table = tissue["S2"]["table"]
    assert np.array_equal(found[1].embedding, table.obsm["X_embedding"])
    assert found[1].genes == tuple(PANEL)
    assert np.allclose(found[1].expression, np.log1p(table[:, PANEL].X.toarray()))
    (bare,) = stf.get.slides(tissue["S1"])
    assert (bare.name, bare.expression, bare.genes) == ("slide", None, ())


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
    ],
)
def test_bad_arguments(tissue, how: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        stf.get.slides(tissue, **how)


def test_several_slides_need_names(tissue) -> None:
    with pytest.raises(TypeError, match="pass several slides as a dict"):
        stf.get.slides(list(tissue.values()))
