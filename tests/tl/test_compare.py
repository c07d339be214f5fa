"""Paired differences from a table of scores alone."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from support import CV_FAST

from stflow.tl import compare, cross_validate


def scores(**methods: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = {(fold, gene): rng.uniform() for fold in "ab" for gene in ("G1", "G2", "G3")}
    rows = [
        {"fold": fold, "method": method, "gene": gene, "pearson": value + shift}
        for method, shift in methods.items()
        for (fold, gene), value in base.items()
    ]
    return pd.DataFrame(rows)


def test_a_known_difference() -> None:
    found = compare(scores(best=0.0, worse=-0.25, same=0.0))
    assert list(found.index) == ["worse", "same"]
    assert found.loc["worse", ["difference", "genes_low", "genes_high"]].tolist() == (
        pytest.approx([-0.25] * 3)
    )
    assert found.loc["same", "difference"] == 0
    assert found["n_folds"].tolist() == [2, 2]
    other = compare(scores(best=0.0, worse=-0.25), "worse")
    assert other.loc["best", "difference"] == pytest.approx(0.25)


def test_what_is_undefined_is_left_out_of_both() -> None:
    table = scores(one=0.0, two=-0.5)
    table.loc[(table["method"] == "two") & (table["gene"] == "G1"), "pearson"] = np.nan
    assert compare(table).loc["two", "difference"] == pytest.approx(-0.5)


def test_a_csv_file_is_enough(tissue) -> None:
    """What cross_validate keeps in the attributes of its table, of the columns alone."""
    table = cross_validate(tissue, **{**CV_FAST, "methods": ["ridge", "smoothed_ridge"]})
    (kept,) = table.attrs["comparison"]
    read = pd.read_csv(StringIO(table.to_csv(index=False)))
    assert read.attrs == {}
    found = compare(read).loc[kept["method"]]
    for name in ("difference", "genes_low", "genes_high"):
        assert found[name] == pytest.approx(kept[name])


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (lambda t: t.drop(columns="fold"), {}, KeyError, "No column of scores 'fold'; available"),
        (lambda t: t, {"reference": "x"}, ValueError, "`reference` is 'x'; available: 'one'"),
        (lambda t: pd.concat([t, t]), {}, ValueError, "two scores for one gene of a fold"),
        (lambda t: t, {"seed": -1}, ValueError, "`seed` must be a whole number"),
    ],
)
def test_bad_tables(change, arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        compare(change(scores(one=0.0, two=0.1)), **arguments)
