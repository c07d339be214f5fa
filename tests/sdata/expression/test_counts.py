"""Where raw counts are, when they are not where they were looked for."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from support import SMALL

import stflow as stf
from stflow._sdata.expression import (
    Counting,
    layer_names,
    read_counts,
    read_observed,
    read_prediction,
)
from stflow._sdata.expression._counts import looks_raw

COUNTS = np.array([[0, 3, 1], [7, 0, 1]], dtype=np.float32)


@pytest.fixture
def table() -> AnnData:
    """As the usual steps leave it: X is scaled, the counts are in raw."""
    table = AnnData(sp.csr_matrix(COUNTS), var=pd.DataFrame(index=["A", "B", "C"]))
    table.raw = table
    table = table[:, ["C", "A"]].copy()
    table.X = table.X.toarray() - 0.5
    return table


def refused(table: AnnData, match: str, **how) -> None:
    with pytest.raises(ValueError, match=match):
        stf.pp.select_genes(table, 1, **how)


def test_counts_in_raw(table) -> None:
    """Negative control: what is normalised in raw, too, is not proposed."""
    refused(table, r"negative values; .* is in `\.raw`: put it .*`layer='counts'`")
    table.layers["counts"] = table.raw[:, table.var_names].X
    np.testing.assert_array_equal(table.layers["counts"].toarray(), COUNTS[:, [2, 0]])
    assert stf.pp.select_genes(table, 1, layer="counts") == ["A"]
    del table.layers["counts"]
    table.raw = AnnData(np.log1p(COUNTS), obs=table.obs, var=pd.DataFrame(index=["A", "B", "C"]))
    refused(table, "`layer=`; layers: none")


def test_raw_that_lacks_genes(table) -> None:
    table.var_names = ["C", "D"]
    refused(table, "is in `.raw`: leave out the 1 genes that it lacks, then")


def test_counts_in_a_layer(table) -> None:
    table.layers["scaled"] = table.X
    table.layers["umi"] = sp.csr_matrix(COUNTS[:, :2])
    refused(table, r"is in layers 'umi'; name one with `layer=`")
    refused(table, r"'umi'; name one", layer="scaled")
    table.layers.pop("umi")
    refused(table, r"negative values.*in `\.raw`", layer="scaled")


def test_counts_in_x(table) -> None:
    table.X, table.layers["log"] = COUNTS[:, :2], np.log1p(COUNTS[:, :2])
    refused(table, "is in X; leave out `layer=`", layer="log")
    assert len(stf.pp.select_genes(table, 1)) == 1


def test_nothing_in_x(table) -> None:
    table.X = None
    refused(table, r"Nothing was measured .*in `\.raw`: put it")


def test_fit_says_so_too(tissue) -> None:
    table = tissue["S1"]["table"]
    table.layers["umi"], table.X = table.X.copy(), np.log1p(table.X.toarray())
    with pytest.raises(ValueError, match=r"normalised or logged already.*in layers 'umi'; name"):
        stf.tl.fit(tissue["S1"], ["GENE001"], **SMALL)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_array, da.from_array])
def test_what_looks_raw(kind) -> None:
    assert looks_raw(kind(COUNTS))
    assert not looks_raw(kind(COUNTS / 2))
    assert not looks_raw(kind(-COUNTS))
    assert not looks_raw(kind(COUNTS * 0))
    assert not looks_raw(kind(np.where(COUNTS, COUNTS, np.nan)))


def test_what_has_no_numbers_does_not_look_raw() -> None:
    assert not looks_raw(None)
    assert not looks_raw(np.zeros((0, 3)))
    assert not looks_raw(np.array([["1"]]))


@pytest.fixture
def layered() -> AnnData:
    table = AnnData(np.ones((3, 2), np.float32))
    table.layers["raw"] = np.full((3, 2), 2.0)
    return table


def test_x_is_not_a_layer(layered):
    assert layer_names(layered) == ["raw"]
    assert layer_names(layered[:2]) == ["raw"]
    assert layer_names(AnnData(np.ones((3, 2)))) == []
    assert layer_names(AnnData(shape=(3, 2))) == []


def test_messages_list_no_layer_called_none(layered):
    with pytest.raises(KeyError, match=r"layers: 'raw'\. Run"):
        read_prediction(layered, "stflow", where="t")
    with pytest.raises(KeyError, match=r"available: 'raw'\. Name"):
        read_counts(layered, ["0"], layer="counts", where="t")
    with pytest.raises(KeyError, match=r"nor a layer \('raw'\)\."):
        read_observed(layered, "known", ["0"], counting=Counting(), over=None, where="t")
