from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from spatialdata import SpatialData
from support import SHAPE, SMALL, make_tissue

import stflow as stf

pytestmark = pytest.mark.slow
PANEL = [f"GENE{i:03d}" for i in range(1, 7)]
OTHER = [*PANEL[3:], "GENE009"]


def fit(data: dict[str, SpatialData], genes: list[str] = PANEL, **kwargs) -> stf.STFlow:
    return stf.tl.fit(data, genes=genes, **{**SMALL, "config": None, **kwargs})


def loss_at_once(model: stf.STFlow) -> float:
    """Loss on held-out spots after the first epoch."""
    return float(model.history["val_loss"].iloc[0])


@pytest.fixture(scope="module")
def slides() -> dict[str, SpatialData]:
    return make_tissue(5, n_spots=250)


@pytest.fixture(scope="module")
def known(slides: dict[str, SpatialData]) -> stf.STFlow:
    first = {name: slides[name] for name in ("S1", "S2", "S3")}
    return fit(first, config={**SHAPE, "n_flows": 1}, max_epochs=15)


@pytest.fixture
def new(slides: dict[str, SpatialData]) -> dict[str, SpatialData]:
    return {"S4": slides["S4"], "S5": slides["S5"]}


def test_starts_where_the_model_ended(known, new) -> None:
    how = {"config": {"n_flows": 1}, "max_epochs": 1}
    from_known = fit(new, init=known, **how)
    anew = fit(new, config={**SHAPE, "n_flows": 1}, max_epochs=1)
    assert loss_at_once(from_known) < 0.9 * loss_at_once(anew)
    assert from_known.config == known.config
    mine, its = (model.ensemble.members[0].features for model in (from_known, known))
    assert torch.equal(mine.components, its.components)
    assert not torch.equal(mine.components, anew.ensemble.members[0].features.components)


def test_weights_that_say_nothing_are_no_help(known, new) -> None:
    """The control: it is what the weights hold that helps, and not that they are there."""
    shuffled = deepcopy(known)
    rng = torch.Generator().manual_seed(0)
    for weights in shuffled.ensemble.members[0].denoiser.parameters():
        mixed = weights.detach().flatten()[torch.randperm(weights.numel(), generator=rng)]
        weights.data = mixed.view_as(weights)
    how = {"config": {"n_flows": 1}, "max_epochs": 1}
    losses = [loss_at_once(fit(new, init=model, **how)) for model in (known, shuffled)]
    assert losses[0] < 0.97 * losses[1]


def test_another_panel(known, new) -> None:
    model = fit(new, OTHER, init=known, config={"n_flows": 1})
    assert model.genes == tuple(OTHER)
    anew = fit(new, OTHER, config={**SHAPE, "n_flows": 1})
    assert loss_at_once(model) < loss_at_once(anew)


def test_counts_the_slides_and_patients_of_both(known, new, slides, tmp_path: Path) -> None:
    model = fit(new, init=known, max_epochs=1)
    assert known.info["training"] == ["S1", "S2"]  # S3 stopped it
    assert model.info["training"] == ["S1", "S2", "S4", "S5"]
    model.save(tmp_path / "model")
    loaded = stf.STFlow.load(tmp_path / "model")
    for slide in ("S1", "S5"):
        with pytest.warns(UserWarning, match="was trained on"):
            stf.tl.predict(slides[slide], loaded, inplace=False, show_progress_bar=False)


def test_slides_of_one_name_stay_two(known, slides) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit({"S1": slides["S4"], "S9": slides["S5"]}, init=known, max_epochs=1)
    assert model.info["training"] == ["S1 (init)", "S2", "S1", "S9"]


def test_patients_are_counted_together(known, slides) -> None:
    two = {name: slides[name] for name in ("S1", "S2")}
    first = fit(two, groups={"S1": "A", "S2": "B"}, config=SHAPE, max_epochs=1)
    groups = {"S4": "C", "S5": "D"}
    pair = {name: slides[name] for name in groups}
    model = fit(pair, init=first, groups=groups, max_epochs=1)
    assert set(model.info["patients"].values()) == {"A", "B", "C", "D"}
    with pytest.warns(UserWarning, match="other slides of 'A'.*not for new ones"):
        fit(pair, init=first, groups={"S4": "A", "S5": "D"}, max_epochs=1)


def test_interrupted_fit_resumes_from_the_same_model_alone(known, new, tmp_path: Path) -> None:
    how = {"config": {"n_flows": 1}, "resume": tmp_path / "run"}
    whole = fit(new, init=known, config={"n_flows": 1}, max_epochs=3)
    fit(new, init=known, **how, max_epochs=1)
    resumed = fit(new, init=known, **how, max_epochs=3)
    pairs = zip(*(m.ensemble.state_dict().values() for m in (whole, resumed)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    other = fit({"S1": new["S4"], "S2": new["S5"]}, config={**SHAPE, "n_flows": 1}, max_epochs=1)
    unseen = {name: deepcopy(sdata) for name, sdata in new.items()}
    for sdata in unseen.values():
        sdata["table"].obsm["X_embedding"] = sdata["table"].obsm["X_embedding"] + np.float32(0.01)
    with pytest.raises(ValueError, match=r"is of another fit.*start"):
        fit(unseen, init=other, **how, max_epochs=3)


def test_bad_input(known, new, slides) -> None:
    with pytest.raises(TypeError, match=r"`init` is a str; pass a model, such as `stf.STFlow.load"):
        fit(new, init="model")
    with pytest.raises(ValueError, match=r"trained on some of these slides.*'S1'.*without `init`"):
        fit({"S1": slides["S1"], **new}, init=known)
    with pytest.raises(ValueError, match="shape of `init`: hidden is 64, there 32"):
        fit(new, init=known, config={"hidden": 64})
    with pytest.raises(ValueError, match="n_layers is 4, there 2"):
        fit(new, init=known, config=stf.Config())
    with pytest.raises(ValueError, match=r"predicts log1p counts per 10,000.*`units='cp10k'`"):
        fit(new, init=known, units="counts")
    with pytest.raises(TypeError, match="`config` holds 'colour'"):
        fit(new, init=known, config={"colour": 1})
    other = {name: deepcopy(sdata) for name, sdata in new.items()}
    for sdata in other.values():
        sdata["table"].uns["X_embedding"]["tile_px"] = 64
    with pytest.raises(ValueError, match=r"the slides \(tile_px=64\) is not that of `init`"):
        fit(other, init=known)
