from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata.expression._observed import read_observed
from stflow._sdata.expression._totals import Counting

GENES = ["B", "A"]
MASK = np.array([True, False, True, False])
HOW = {
    "counting": Counting("counts", min_counts=0),
    "over": pd.Series(1 / 3, list("ABC")),
    "where": "table 'table'",
}


@pytest.fixture
def table() -> AnnData:
    counts = np.arange(12).reshape(4, 3)
    table = AnnData(
        sp.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame({"seen": MASK, "size": 1.0}, index=list("wxyz")),
        var=pd.DataFrame(index=["A", "B", "C"]),
    )
    table.layers["known"] = np.where(MASK[:, None], 2.0 * counts, np.nan)
    return table


def expected(factor: float = 1.0) -> np.ndarray:
    counts = np.array([[1, 0], [np.nan] * 2, [7, 6], [np.nan] * 2])
    return np.log1p(factor * counts)


@pytest.mark.parametrize("kind", ["array", "list", "series", "column"])
def test_measured_spots_in_the_order_of_the_panel(table, kind) -> None:
    observed = {
        "array": MASK,
        "list": list(MASK),
        "series": pd.Series(MASK, table.obs_names),
        "column": "seen",
    }[kind]
    np.testing.assert_allclose(read_observed(table, observed, GENES, **HOW), expected(), rtol=1e-6)


def test_a_layer_that_is_nan_elsewhere(table) -> None:
    found = read_observed(table, "known", GENES, **HOW)
    np.testing.assert_allclose(found, expected(2.0), rtol=1e-6)


def test_a_lazy_layer_of_sparse_chunks(table) -> None:
    table.layers["known"] = da.from_array(table.layers["known"], (2, 3)).map_blocks(sp.csr_matrix)
    found = read_observed(table, "known", GENES, **HOW)
    np.testing.assert_allclose(found, expected(2.0), rtol=1e-6)


def test_counts_per_10000_of_a_total_over_the_genes_of_the_fit(table) -> None:
    """Totals of the rows are 1 + 2 and 6 + 7 + 8, or 1 and 6 + 7 over two genes."""
    how = {**HOW, "counting": Counting("cp10k", min_counts=0)}
    for genes, totals in (("ABC", (3, 21)), ("AB", (1, 13)), ("ABCD", (3, 21))):
        found = read_observed(table, MASK, GENES, **{**how, "over": pd.Series(0.1, list(genes))})
        counts = np.expm1(expected()[MASK])
        wanted = np.log1p(1e4 * counts / np.array(totals)[:, None])
        np.testing.assert_allclose(found[MASK], wanted, rtol=1e-6)
        assert np.isnan(found[~MASK]).all()


def test_spots_of_too_few_counts_are_predicted_with_a_warning(table) -> None:
    how = {**HOW, "counting": Counting("cp10k", min_counts=4)}
    message = r"1 of 2 `observed` spots of table 'table' hold too few counts"
    with pytest.warns(UserWarning, match=message):
        found = read_observed(table, MASK, GENES, **how)
    assert list(np.isnan(found).all(axis=1)) == [True, True, False, True]


def test_counts_from_a_layer(table) -> None:
    found = read_observed(table, MASK, GENES, **{**HOW, "counting": Counting("counts", "known")})
    np.testing.assert_allclose(found, expected(2.0), rtol=1e-6)


def test_other_spots_may_hold_anything(table) -> None:
    table.X = np.where(MASK[:, None], table.X.toarray(), -7.5)
    assert np.isfinite(read_observed(table, MASK, GENES, **HOW)[MASK]).all()


@pytest.mark.parametrize(
    ("observed", "error", "message"),
    [
        (MASK[:3], ValueError, r"shape \(4,\), without NaN, not bool of shape \(3,\)"),
        (np.ones((4, 2), bool), ValueError, r"of shape \(4, 2\)"),
        (np.array([1.0, np.nan, 0, 0]), ValueError, "without NaN, not float64"),
        (np.zeros(4, bool), ValueError, "marks no spot"),
        ("size", ValueError, "not float64"),
        ("nothing", KeyError, "neither a column of obs.*seen.*nor a layer.*known"),
        (pd.Series(MASK, list("zyxw")), ValueError, "index of `observed`"),
    ],
)
def test_refused(table, observed, error, message) -> None:
    with pytest.raises(error, match=message):
        read_observed(table, observed, GENES, **HOW)


def test_a_spot_measured_in_part(table) -> None:
    table.layers["known"][0, 1] = np.nan
    with pytest.raises(ValueError, match="NaN for some genes of 1 spots: 'w'"):
        read_observed(table, "known", GENES, **HOW)


def test_genes_and_counts_are_checked(table) -> None:
    with pytest.raises(KeyError, match="1 of 2 genes are not among the genes of table"):
        read_observed(table, MASK, ["A", "Z"], **HOW)
    table.X = table.X.toarray()
    table.X[0, 0] = -1
    with pytest.raises(ValueError, match="negative"):
        read_observed(table, MASK, GENES, **HOW)
