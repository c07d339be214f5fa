from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata.expression._observed import read_observed

GENES = ["B", "A"]
MASK = np.array([True, False, True, False])
HOW = {"layer": None, "where": "table 'table'"}


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


def test_counts_from_a_layer(table) -> None:
    found = read_observed(table, MASK, GENES, **{**HOW, "layer": "known"})
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
