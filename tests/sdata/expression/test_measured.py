"""What was measured, whole and by blocks."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stflow._sdata.expression import Counting, read_measured

GENES = ["a", "b"]


def table(keep=np.asarray) -> anndata.AnnData:
    counts = np.array([[1, 2, 7], [0, 0, 0], [5, 0, 5], [3, 1, 0], [0, 9, 1]], dtype=np.float32)
    found = anndata.AnnData(keep(counts), var=pd.DataFrame(index=["a", "x", "b"]))
    return found


@pytest.mark.parametrize("keep", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("units", ["cp10k", "counts"])
def test_blocks_are_the_rows_of_the_whole(monkeypatch, keep, units) -> None:
    monkeypatch.setattr("stflow._sdata.expression._measured.BLOCK", 2)
    found = read_measured(table(keep), GENES, Counting(units), where="a table")
    rows, blocks = zip(*found.blocks(), strict=True)
    assert [len(block) for block in blocks] == [2, 2, 1]
    assert [place.start for place in rows] == [0, 2, 4]
    assert np.array_equal(np.concatenate(blocks), found.expression)


def test_expression_by_hand() -> None:
    found = read_measured(table(), GENES, Counting(), where="a table")
    assert found.counts.tolist() == [[1, 7], [0, 0], [5, 5], [3, 0], [0, 1]]
    assert np.allclose(np.expm1(found.expression[0]), [1000, 7000])
    assert not found.expression[1].any()


def test_totals_that_are_none_are_refused() -> None:
    low = table()
    low.obs["total"] = [10.0, 0, 9, 4, 10]
    with pytest.raises(ValueError, match=r"\.obs\['total'\] of a table is less .* at 1 spots"):
        read_measured(low, GENES, Counting(total_key="total"), where="a table")
