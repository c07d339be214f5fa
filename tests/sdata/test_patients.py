"""Whose spots they are: as the user says, as slides say themselves, or unknown."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from slides import lattice, make
from spatialdata import SpatialData

from stflow._sdata import PatientsUnclear, column_groups, patients_of

SLIDES = {"S1": "anna", "S2": "otto"}


def slide(patients: Any = None, *, attrs: Any = None) -> SpatialData:
    """Four spots, whose patients the table tells, or the slide itself."""
    points = lattice(2)[0]
    obs = None if patients is None else {"patient": pd.Series(patients)}
    return make(points, obs=obs, attrs={} if attrs is None else {"slide_properties": attrs})


def pair() -> dict[str, SpatialData]:
    return {name: slide() for name in SLIDES}


def found(data: dict[str, Any], groups: Any = None) -> dict[str, list[str]]:
    return {name: rows.tolist() for name, rows in patients_of(data, groups, "table").items()}


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_each_slide_is_named(kind: type) -> None:
    named = {"S1": ["anna"] * 4, "S2": ["otto"] * 4}
    assert found(pair(), kind(SLIDES)) == named
    assert found(pair(), kind({"S1": 1.0, "S2": 1})) == {"S1": ["1"] * 4, "S2": ["1"] * 4}


def test_a_column_names_each_spot() -> None:
    data = {"S1": slide(["a", "b", "a", "b"]), "S2": slide(pd.Categorical([1.0, 2, 2, 2]))}
    told = {"S1": ["a", "b", "a", "b"], "S2": ["1", "2", "2", "2"]}
    assert found(data, "patient") == told
    assert found(data) == told


def test_slides_say_it_themselves() -> None:
    """What the slide says as a whole goes before its spots; a table alone has only these."""
    table = slide(["c"] * 4)["table"]
    data = {"S1": slide(["b"] * 4, attrs={"patient": "a"}), "S2": table}
    assert isinstance(table, AnnData)
    assert found(data) == {"S1": ["a"] * 4, "S2": ["c"] * 4}
    data["S1"].attrs["slide_properties"]["patient"] = np.nan
    assert found(data)["S1"] == ["b"] * 4


def test_regions_have_the_patient_of_their_slide_or_their_own(two_regions: SpatialData) -> None:
    data = {"both": two_regions, "S3": slide()}
    regions = two_regions["table"].obs["region"].tolist()
    (whole, other) = found(data, {"both": "anna", "S3": "otto"}).values()
    assert {*whole} == {"anna"}
    assert other == ["otto"] * 4
    each = {"both/a": "anna", "both/b": "otto", "S3": "otto"}
    assert found(data, each)["both"] == [{"a": "anna", "b": "otto"}[name] for name in regions]
    mixed = {"both": "anna", "both/b": "otto", "S3": "otto"}
    assert found(data, mixed) == found(data, each)
    with pytest.raises(KeyError, match=r"'both/b' without a group; 'both/c' not .*: 'both/b', "):
        found(data, {"both/a": "anna", "both/c": "otto", "S3": "otto"})


def test_nobody_says_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PatientsUnclear)
        assert found(pair()) == {}
        assert found({"S1": slide([np.nan] * 4), "S2": slide(attrs={"patient": None})}) == {}


@pytest.mark.parametrize("silent", [slide(), slide(["a", "a", None, ""]), slide([np.nan] * 4)])
def test_only_some_say_it(silent: SpatialData) -> None:
    data = {"S1": slide(["a"] * 4), "S2": silent, "S3": slide(attrs={"patient": 7})}
    message = "unknown: 'S1', 'S3' say whose they are, and 'S2' do not.*Pass `groups=` with"
    with pytest.warns(PatientsUnclear, match=message):
        assert found(data) == {}


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        (["a", "b"], TypeError, "is a list; pass a dict .*, or the name of a column of .obs"),
        ({"S1": "a"}, KeyError, "'S2' without a group; none not among the slides"),
        ({**SLIDES, "S3": "a"}, KeyError, "none without a group; 'S3' not .* Slides: 'S1', 'S2'"),
        ({"S1": "a", "S2": np.nan}, ValueError, "names no group .* for 'S2'"),
        ({"S1": "a", "S2": " "}, ValueError, "names no group .* for 'S2'"),
        ({"S1": "a", "S2": ["b"]}, TypeError, "of slide 'S2' is a list, not text or a number"),
        ("donor", KeyError, r"No column of \.obs in S1: 'donor'; available: 'region', .*`groups="),
    ],
)
def test_bad_groups(groups: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        patients_of(pair(), groups, "table")


@pytest.mark.parametrize("missing", [None, np.nan, "", "nan"])
def test_spots_without_a_patient_are_counted_and_named(missing: Any) -> None:
    data = {"S1": slide(["a"] * 4), "S2": slide(["a", missing, "b", missing])}
    message = r"'patient' of \.obs names no patient .* for 2 of 4 spots of S2: 's1', 's3'\. Name"
    with pytest.raises(ValueError, match=message):
        patients_of(data, "patient", "table")
    data["S2"]["table"].obs = data["S2"]["table"].obs.drop(columns="patient")
    with pytest.raises(KeyError, match=r"No column of \.obs in S2: 'patient'"):
        patients_of(data, "patient", "table")


def test_a_column_of_what_is_no_patient() -> None:
    data = {"S1": slide(pd.date_range("2020", periods=4))}
    with pytest.raises(TypeError, match=r"column 'patient' of \.obs, is a Timestamp, not text"):
        patients_of(data, "patient", "table")


def test_slides_grouped_by_a_column() -> None:
    data = {"S1": slide(["a"] * 4), "S2": slide([2] * 4)}
    assert column_groups(data, "patient", "table") == {"S1": "a", "S2": "2"}
    data["S2"] = slide(["b", "c", "c", "c"])
    with pytest.raises(ValueError, match=r"'S2' are of several groups by column .*: 'b', 'c'"):
        column_groups(data, "patient", "table")
