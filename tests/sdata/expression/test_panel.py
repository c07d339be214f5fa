"""Panels by mean and variance: genes whose places are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stflow._sdata.expression import Counting, variable_of_expressed

COUNTS = Counting("counts", min_counts=0)
GENES = {
    "LOUD": [900, 1000, 900, 1000],
    "LOUDER": [2000, 2000, 2001, 2000],
    "WILD": [0, 400, 0, 400],
    "QUIET": [0, 9, 0, 9],
}


def make(genes: dict[str, list[int]]) -> AnnData:
    counts = np.array(list(genes.values()), dtype=float).T
    return AnnData(counts, var=pd.DataFrame(index=list(genes)))


@pytest.mark.parametrize(
    ("n_genes", "n_expressed", "expected"),
    [
        (1, 2, ["LOUD"]),
        (2, 2, ["LOUD", "LOUDER"]),
        (1, 3, ["WILD"]),
        (3, 3, ["WILD", "LOUD", "LOUDER"]),
        (2, 4, ["WILD", "QUIET"]),
    ],
)
def test_the_most_variable_of_the_most_expressed(n_genes, n_expressed, expected):
    found = variable_of_expressed({"a": make(GENES)}, n_genes, n_expressed, counting=COUNTS)
    assert found == expected


def test_moments_are_over_the_spots_of_all_slides():
    """Neither gene varies within a slide; SHIFT does between them."""
    low = make({"SHIFT": [10] * 4, "STILL": [99] * 4})
    high = make({"STILL": [99] * 4, "SHIFT": [500] * 4})
    tables = {"a": low, "b": high}
    assert variable_of_expressed(tables, 1, 2, counting=COUNTS) == ["SHIFT"]
    assert variable_of_expressed({"a": low}, 1, 1, counting=COUNTS) == ["STILL"]
    assert variable_of_expressed(tables, 1, 1, counting=COUNTS, among=["STILL"]) == ["STILL"]


def test_a_gene_that_few_spots_show_may_be_chosen_and_a_spot_of_nothing_has_no_say():
    rare = make({"RARE": [9000] + [0] * 20, "COMMON": [100] * 21})
    assert variable_of_expressed({"a": rare}, 1, 2, counting=COUNTS) == ["RARE"]
    empty = make({"A": [400, 600, 1], "B": [600, 400, 0], "C": [500, 500, 0]})
    shares = variable_of_expressed({"a": empty}, 3, 3, counting=Counting(min_counts=100))
    assert shares[2] == "C"
    with_it = variable_of_expressed({"a": empty}, 3, 3, counting=Counting(min_counts=0))
    assert set(with_it[:2]) == {"B", "C"}


def test_fewer_genes_than_are_asked_for():
    with pytest.raises(ValueError, match="5 genes of largest mean, but the slides have 4 in"):
        variable_of_expressed({"a": make(GENES)}, 2, 5, counting=COUNTS)
