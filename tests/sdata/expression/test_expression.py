"""Predictions and counts of a table as arrays."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata.expression._expression import (
    has_counts,
    read_counts,
    read_prediction,
    require_gene_list,
)
from stflow._sdata.expression._measured import read_measured
from stflow._sdata.expression._totals import Counting


def read_log_counts(table: AnnData, genes: list[str], **how) -> np.ndarray:
    return read_measured(table, genes, Counting("counts", **how), where="t").expression


@pytest.fixture
def table() -> AnnData:
    counts = np.array([[0, 3, 1], [7, 0, 1]])
    names = pd.DataFrame(index=["A", "B", "C"])
    return AnnData(sp.csr_matrix(counts), obs=pd.DataFrame(index=["s1", "s2"]), var=names)


def test_log_counts_follow_the_order_of_the_genes(table):
    found = read_log_counts(table, ["C", "A"])
    np.testing.assert_allclose(found, np.log([[2, 1], [2, 8]]))
    assert found.dtype == np.float64


@pytest.mark.parametrize("chunk", [sp.csr_matrix, sp.csr_array, np.asarray])
@pytest.mark.parametrize("chunks", [(1, 2), (2, 3)])
def test_counts_may_be_lazy(table, chunk, chunks):
    expected = read_log_counts(table, ["C", "A"])
    table.X = da.from_array(table.X.toarray(), chunks).map_blocks(chunk)
    for part, rows in ((table, slice(None)), (table[::-1], slice(None, None, -1))):
        counts = read_counts(part, ["C", "A"], layer=None, where="t")
        assert sp.issparse(counts) == (chunk is not np.asarray)
        found = read_log_counts(part, ["C", "A"])
        np.testing.assert_allclose(found, expected[rows])
    table.X = table.X.map_blocks(lambda block: block * 0.5)
    with pytest.raises(ValueError, match="X of t holds values that are not whole numbers"):
        read_counts(table, ["C"], layer=None, where="t")


def test_only_the_named_genes_must_hold_counts_where_totals_are_known(table):
    table.X = table.X.toarray() * np.array([1.0, 0.5, 1.0])
    table.obs["total"] = [2.5, 8.0]
    assert read_log_counts(table, ["A"], total_key="total").shape == (2, 1)
    for genes, how in ((["B"], {"total_key": "total"}), (["A"], {})):
        with pytest.raises(ValueError, match="X of t holds values that are not whole numbers"):
            read_log_counts(table, genes, **how)


def test_has_counts(table):
    assert has_counts(table, None)
    table.X = None
    assert not has_counts(table, None)
    assert has_counts(table, "counts")


def test_the_frame_comes_before_the_layer(table):
    frame = pd.DataFrame([[1.0], [2.0]], index=table.obs_names, columns=["B"])
    table.layers["p"] = np.array([[np.nan, 3.0, np.nan]] * 2)
    assert read_prediction(table, "p", where="t")["B"].tolist() == [3.0, 3.0]
    table.obsm["p"] = frame
    assert read_prediction(table, "p", where="t")["B"].tolist() == [1.0, 2.0]


def test_columns_of_genes_with_a_slash(table):
    """Negative control: a percent sign that hides no slash, and a column that is no word."""
    columns = ["HBA1%2F2", "10%", 3]
    table.obsm["p"] = pd.DataFrame(np.eye(2, 3), index=table.obs_names, columns=columns)
    found = read_prediction(table, "p", where="t")
    assert found.columns.tolist() == ["HBA1/2", "10%", 3]
    assert found["HBA1/2"].tolist() == [1.0, 0.0]
    assert table.obsm["p"].columns.tolist() == columns


def test_gene_lists():
    assert require_gene_list("ERBB2") == ["ERBB2"]
    assert require_gene_list(("A", "B")) == ["A", "B"]
    with pytest.raises(ValueError, match="`genes` is empty"):
        require_gene_list([])
    assert [type(gene) for gene in require_gene_list(np.array(["A"]))] == [str]
    with pytest.raises(TypeError, match=r"`genes` is 50; .*`stf\.pp\.select_genes` chooses"):
        require_gene_list(50)
    with pytest.raises(TypeError, match="`genes` holds 'nan', a float and no text"):
        require_gene_list(["A", np.nan])
    with pytest.raises(ValueError, match="an empty name"):
        require_gene_list(["A", " "])
    with pytest.raises(ValueError, match="Duplicated genes: 'A'"):
        require_gene_list(["A", "A"])
