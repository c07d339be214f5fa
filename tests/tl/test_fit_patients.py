"""Patients inside a fit: who is left out together, and what the model remembers of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from spatialdata import SpatialData
from support import SHAPE, SMALL, snapshot

import stflow as stf
from stflow._sdata import PatientsUnclear

PANEL = ["GENE001", "GENE002", "GENE003"]
TWO = {"S1": "anna", "S2": "otto", "S3": "anna"}


def fit(data: Any, groups: Any = None, **kwargs: Any) -> stf.STFlow:
    how = {"genes": PANEL, **SMALL, "config": {**SHAPE, "n_flows": 3}, "max_epochs": 1}
    how["trainer_kwargs"] = {"limit_train_batches": 1}
    return stf.tl.fit(data, **{**how, "groups": groups, **kwargs})


def equal(one: stf.STFlow, two: stf.STFlow) -> bool:
    states = [model.ensemble.state_dict() for model in (one, two)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )


def left_right(sdata: SpatialData, left: Any, right: Any) -> None:
    """Say of a slide's spots that those on either side are of another patient."""
    table = sdata["table"]
    x = table.obsm["spatial"][:, 0]
    table.obs["donor"] = np.where(x < np.median(x), left, right)


def tell(tissue: Mapping[str, SpatialData], patients: Mapping[str, Any]) -> None:
    for name, patient in patients.items():
        tissue[name].attrs["slide_properties"]["patient"] = patient


def test_flows_leave_out_whole_patients(tissue, tmp_path) -> None:
    before = {name: snapshot(sdata) for name, sdata in tissue.items()}
    model = fit(tissue, TWO)
    assert model.info["validation"] == ["S1, S3", "S2"]
    assert model.info["patients"] == TWO
    assert "\n  validated on new patients (2 known)\n" in repr(model)
    with pytest.warns(UserWarning, match="was trained on this slide"):
        told = stf.tl.predict(tissue["S1"]["table"], model, n_samples=1, inplace=False)
    assert told.uns["stflow"]["n_patients"] == 2
    assert before == {name: snapshot(sdata) for name, sdata in tissue.items()}
    model.save(tmp_path / "model")
    assert repr(stf.STFlow.load(tmp_path / "model")) == repr(model)


def test_nobody_says_whose_slides_they_are(tissue) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PatientsUnclear)
        model = fit(tissue)
    assert model.info["validation"] == ["S1", "S2", "S3"]
    assert model.info["patients"] == {}
    assert "\n  patients unknown: claims hold for new sections only\n" in repr(model)


def test_a_patient_a_slide_is_as_if_nobody_said_it(tissue) -> None:
    """Negative control: of two patients, it is not."""
    unknown = fit(tissue)
    assert equal(fit(tissue, pd.Series({"S1": 1, "S2": 2, "S3": 3})), unknown)
    assert not equal(fit(tissue, TWO), unknown)


def test_slides_that_say_whose_they_are_are_believed(tissue) -> None:
    tell(tissue, TWO)
    assert equal(fit(tissue), named := fit(tissue, TWO))
    assert fit(tissue, dict(zip(TWO, "abc", strict=True))).info["patients"]["S3"] == "c"
    tell(tissue, {"S2": np.nan})
    with pytest.warns(PatientsUnclear, match="unknown: 'S1', 'S3' say whose they are") as caught:
        model = fit(tissue)
    assert [each.filename for each in caught] == [__file__]
    assert model.info["patients"] == {}
    assert not equal(model, named)


def test_of_one_patient_it_says_so_once(tissue) -> None:
    """Its flows are those of slides that nobody named: they leave out slides."""
    with pytest.warns(PatientsUnclear, match="All slides are of patient 'anna'") as caught:
        model = fit(tissue, dict.fromkeys(tissue, "anna"))
    assert [each.filename for each in caught] == [__file__]
    assert "\n  one patient: claims hold for new sections of it\n" in repr(model)
    assert model.info["validation"] == ["S1", "S2", "S3"]
    assert equal(model, fit(tissue))


def test_a_slide_of_several_patients_is_taken_apart(tissue) -> None:
    left_right(tissue["S1"], "anna", "otto")
    left_right(tissue["S2"], "otto", "otto")
    data = {name: tissue[name] for name in ("S1", "S2")}
    model = fit(data, "donor")
    patients = model.info["patients"]
    assert patients == {"S1/anna": "anna", "S1/otto": "otto", "S2": "otto"}
    assert {*model.info["left_out"]} == {*patients}
    assert sorted(model.info["validation"]) == ["S1/anna", "S1/otto, S2"]
    with pytest.warns(UserWarning, match="The model was trained on"):
        stf.tl.predict(tissue["S1"], model, show_progress_bar=False)


def test_a_slide_taken_apart_is_as_its_parts(tissue) -> None:
    """Tables of the spots of each patient, with the edges between them, give the same numbers."""
    left_right(tissue["S1"], "anna", "otto")
    table = tissue["S1"]["table"]
    whose = {f"slide/{name}": name for name in dict.fromkeys(table.obs["donor"])}
    parts = {part: table[table.obs["donor"] == name].copy() for part, name in whose.items()}
    together = fit(table, "donor")
    assert together.info["patients"] == whose
    assert equal(together, fit(parts, whose))


def test_of_a_named_slide_the_whole_patient_is_held_out(tissue) -> None:
    config = {**SHAPE, "n_flows": 1}
    model = fit(tissue, TWO, validation="S3", config=config)
    assert model.info["validation"] == ["S1, S3"]
    assert model.info["training"] == ["S2"]
    assert fit(tissue, TWO, config=config).info["validation"] == ["S2"]


def test_a_folder_of_other_patients_is_refused(tissue, tmp_path) -> None:
    whole = fit(tissue, TWO, resume=tmp_path)
    assert equal(fit(tissue, TWO, resume=tmp_path), whole)
    for other in (None, {**TWO, "S2": "anna", "S1": "otto"}):
        with pytest.raises(ValueError, match="patients is "):
            fit(tissue, other, resume=tmp_path)


def test_regions_of_a_table_have_patients(two_regions, tissue) -> None:
    data = {"both": two_regions, "S3": tissue["S3"]}
    whole = fit(data, {"both": "anna", "S3": "otto"})
    assert whole.info["patients"] == {"both/b": "anna", "both/a": "anna", "S3": "otto"}
    assert whole.info["validation"] == ["both/b, both/a", "S3"]
    each = fit(data, {"both/a": "anna", "both/b": "otto", "S3": "anna"})
    assert each.info["validation"] == ["both/b", "both/a, S3"]


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (["anna"], TypeError, "`groups` is a list; pass a dict"),
        ({**TWO, "S4": "anna"}, KeyError, "'S4' not among the slides"),
        ({"S1": "anna"}, KeyError, "'S2', 'S3' without a group"),
        ({**TWO, "S2": np.nan}, ValueError, "names no group .* for 'S2'"),
        ("donor", KeyError, r"No column of \.obs in S2: 'donor'; available: 'region', 'spot_id'"),
    ],
)
def test_bad_groups(tissue, groups: Any, error: type[Exception], message: str) -> None:
    left_right(tissue["S1"], "anna", "otto")
    with pytest.raises(error, match=message):
        fit(tissue, groups)


def test_spots_without_a_patient(tissue) -> None:
    for sdata in tissue.values():
        left_right(sdata, "anna", "otto")
    tissue["S2"]["table"].obs.iloc[:3, -1] = np.nan
    with pytest.raises(ValueError, match="for 3 of 64 spots of S2: 'spot1', 'spot2', 'spot3'"):
        fit(tissue, "donor")


def test_two_patients_with_a_spot_each(tissue) -> None:
    table = tissue["S1"]["table"][:2].copy()
    table.obsp["spatial_connectivities"] = table.obsp["spatial_connectivities"].copy()
    table.obsp["spatial_connectivities"][0, 1] = 1
    table.obs["donor"] = ["anna", "otto"]
    with pytest.raises(ValueError, match="Too few spots to fit: 1 to train on and 1 to validate"):
        fit(table, "donor", min_counts=0)


def test_a_part_that_is_called_like_another_slide(tissue) -> None:
    left_right(tissue["S1"], "anna", "otto")
    data = {"S1": tissue["S1"], "S1/anna": tissue["S2"]}
    left_right(tissue["S2"], "anna", "anna")
    with pytest.raises(ValueError, match="Duplicated names of slides and their parts: 'S1/anna'"):
        fit(data, "donor")


@pytest.mark.slow
def test_sections_of_her2st_are_of_one_patient(embedded) -> None:
    sections = {name: embedded(name) for name in ("C2", "C3")}
    genes = stf.pp.select_genes(sections, n_top_genes=3)
    with pytest.warns(PatientsUnclear, match="All slides are of patient 'C'"):
        model = fit(sections, genes=genes)
    assert model.info["patients"] == {"C2": "C", "C3": "C"}
    for sdata in sections.values():
        left_right(sdata, "L", "R")
    apart = fit(sections, "donor", genes=genes)
    assert sorted({*apart.info["patients"].values()}) == ["L", "R"]
    assert len(apart.info["patients"]) == 4
    assert len(apart.info["validation"]) == 2
