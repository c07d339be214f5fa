from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from spatialdata import SpatialData
from support import cp10k

import stflow as stf


def make(genes: dict[str, list[int]]) -> AnnData:
    counts = np.array(list(genes.values())).T
    return AnnData(sp.csr_matrix(counts), var=pd.DataFrame(index=list(genes)))


FLAT, WIDE, WIDER = [5, 5, 5, 5, 4, 5, 5, 5, 5, 5], [0, 9] * 5, [0, 90] * 5
RARE = [9000] + [0] * 10


COUNTS = {"units": "counts", "min_counts": 0}


def test_most_variable_first() -> None:
    table = make({"FLAT": FLAT, "WIDER": WIDER, "WIDE": WIDE})
    assert stf.pp.select_genes(table, 2, **COUNTS) == ["WIDER", "WIDE"]
    assert stf.pp.select_genes(table, 3, **COUNTS) == ["WIDER", "WIDE", "FLAT"]


def test_a_gene_that_follows_depth_varies_in_counts_alone() -> None:
    """Negative control: STEADY is a tenth of a shallow spot, a hundredth of a deep one."""
    table = make({"DEEP": [200, 2000] * 5, "STEADY": [20] * 10})
    assert stf.pp.select_genes(table, 2) == ["STEADY", "DEEP"]
    assert stf.pp.select_genes(table, 2, units="counts") == ["DEEP", "STEADY"]
    table.obs["all"] = 5000
    assert stf.pp.select_genes(table, 2, total_key="all") == ["DEEP", "STEADY"]


def test_spots_that_measured_nothing_have_no_say() -> None:
    """One spot of a single count is log1p(10,000) in one gene and 0 in those that vary less."""
    genes = {"A": [450, 550] * 10, "B": [520, 480] * 10, "C": [50, 51] * 10}
    table = make({name: [*counts, int(name == "C")] for name, counts in genes.items()})
    assert stf.pp.select_genes(table, 2) == ["A", "B"]
    for floor, kept in ((None, 20), (0, 21), (1, 21), (2, 20)):
        order = cp10k(table)[:kept].var().sort_values(ascending=False).index
        assert stf.pp.select_genes(table, 3, min_counts=floor) == list(order)
    assert stf.pp.select_genes(table, 1, min_counts=0) == ["B"]


def test_variance_is_that_of_log_counts_pooled_over_slides() -> None:
    """Constant within each slide, but different between them: variable."""
    low = make({"SHIFT": [1] * 4, "NOISE": [2, 3, 2, 3]})
    high = make({"NOISE": [2, 3, 2, 3], "SHIFT": [50] * 4})
    assert stf.pp.select_genes({"a": low, "b": high}, 1, **COUNTS) == ["SHIFT"]


def test_rare_genes_are_left_out() -> None:
    table = make({"RARE": RARE, "WIDE": [*WIDE, 0]})
    assert stf.pp.select_genes(table, 1, **COUNTS) == ["WIDE"]
    with pytest.raises(ValueError, match="only 1 of 2 genes are seen in 10% of the spots"):
        stf.pp.select_genes(table, 2, **COUNTS)


def test_rare_in_one_slide_is_enough_to_leave_out() -> None:
    often, seldom = make({"A": WIDER, "B": WIDE}), make({"A": RARE, "B": [*WIDE, 1]})
    assert stf.pp.select_genes(often, 1, **COUNTS) == ["A"]
    assert stf.pp.select_genes({"x": often, "y": seldom}, 1, **COUNTS) == ["B"]


def test_rare_in_one_region_is_enough_to_leave_out(two_regions) -> None:
    table = two_regions["table"]
    counts = table.X.toarray()
    counts[(table.obs["region"] == "a").to_numpy(), 0] = 0
    table.X = sp.csr_matrix(counts)
    kept = stf.pp.select_genes(two_regions, table.n_vars - 1)
    assert sorted(kept) == sorted(table.var_names[1:])
    with pytest.raises(ValueError, match="only 11 of 12 genes are seen in 10% of the spots"):
        stf.pp.select_genes(two_regions, table.n_vars)


def test_stored_zeros_are_zeros() -> None:
    table = make({"A": RARE, "B": [*WIDE, 0]})
    dense = table.X.toarray()
    stored = sp.csr_matrix(np.ones(dense.shape, dtype=dense.dtype))
    stored.data[:] = dense.ravel()
    table.X = stored
    assert stf.pp.select_genes(table, 1, **COUNTS) == ["B"]
    assert table.X.nnz == dense.size


def test_genes_that_a_slide_lacks_are_left_out() -> None:
    first, second = make({"A": WIDER, "B": WIDE}), make({"B": WIDE, "C": WIDER})
    assert stf.pp.select_genes({"x": first, "y": second}, 1) == ["B"]
    with pytest.raises(ValueError, match="The slides x, y share no gene"):
        stf.pp.select_genes({"x": first, "y": make({"C": WIDE})}, 1)


def test_layer() -> None:
    table = make({"A": FLAT, "B": WIDE})
    table.layers["raw"] = table.X.copy()
    table.X = np.log1p(table.X.toarray())
    assert stf.pp.select_genes(table, 1, layer="raw") == ["B"]
    with pytest.raises(ValueError, match=r"not whole numbers.*`layer=`"):
        stf.pp.select_genes(table, 1)
    with pytest.raises(KeyError, match=r"No layer in slide .*: 'counts'; available: 'raw'"):
        stf.pp.select_genes(table, 1, layer="counts")


@pytest.mark.parametrize("n_top_genes", [0, 1.5])
def test_number_out_of_range(n_top_genes) -> None:
    with pytest.raises(ValueError, match="`n_top_genes` must be a whole number of at least 1"):
        stf.pp.select_genes(make({"A": WIDE}), n_top_genes)


def test_the_slide_that_is_wrong_is_named() -> None:
    good = make({"A": WIDE, "B": FLAT})
    spots, genes = good.copy(), good.copy()
    spots.obs_names = ["s"] * good.n_obs
    genes.var_names = ["A", "A"]
    bare = AnnData(obs=good.obs, var=good.var[:0])
    wrong = {
        "Duplicated spot names of C2: 's'": spots,
        "Duplicated gene names of C2: 'A'": genes,
        "Nothing was measured in slide 'C2'.* no counts to learn from": bare,
        "Table 'table' of C2 has no spots": good[:0].copy(),
    }
    for message, table in wrong.items():
        with pytest.raises(ValueError, match=message):
            stf.pp.select_genes({"C1": good, "C2": table}, 1)
    with pytest.raises(KeyError, match=r"No table in C2: 'table'; available: none\. Lay spots"):
        stf.pp.select_genes({"C1": good, "C2": SpatialData()}, 1)


def test_no_slides() -> None:
    with pytest.raises(ValueError, match="empty dict"):
        stf.pp.select_genes({})


@pytest.mark.parametrize(
    ("data", "way_out"), [("slide.zarr", r"not str\. Read it first"), ({"a": {}}, "for each slide")]
)
def test_what_is_no_slide(data, way_out) -> None:
    with pytest.raises(TypeError, match=way_out):
        stf.pp.select_genes(data)
