"""Graphs of slides in one table: where each edge goes, and what says what it is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from stflow._sdata.written import join_graphs, require_new_graph, write_graph


def test_edges_go_to_the_rows_of_their_spots():
    """Negative control: had the rows not been looked up, the first slide would stand first."""
    first = sp.csr_matrix(np.array([[0, 5.0], [0, 0]]))
    second = sp.csr_matrix(np.array([[0, 1.0], [2.0, 0]]))
    joined = join_graphs([(np.array([3, 0]), first), (np.array([4, 1]), second)], 5)
    expected = np.zeros((5, 5))
    expected[3, 0], expected[4, 1], expected[1, 4] = 5, 1, 2
    np.testing.assert_array_equal(joined.toarray(), expected)
    assert not np.array_equal(sp.block_diag([first, second, [[0]]]).toarray(), expected)


def test_the_record_names_connectivities_and_distances():
    table, graph = AnnData(shape=(3, 0)), sp.eye(3, format="csr")
    write_graph(table, "mine", {"mine": graph}, params={"seed": 1})
    assert table.uns["mine"] == {
        "connectivities_key": "mine",
        "distances_key": "spatial_distances",
        "params": {"seed": 1},
    }
    write_graph(table, "both", {"c": graph, "spatial_distances": 2 * graph}, params={})
    assert table.uns["both"]["connectivities_key"] == "c"
    assert set(table.obsp) == {"mine", "c", "spatial_distances"}


def test_another_name_is_proposed_where_one_can_be_given():
    table = AnnData(shape=(3, 0), uns={"mine": {}})
    with pytest.raises(ValueError, match=r"The table already holds 'mine'\. Pass `overwrite=True`"):
        require_new_graph(table, "mine", overwrite=False, where="The table")
    with pytest.raises(ValueError, match=r"Pass another `name=`, or `overwrite=True` to replace"):
        require_new_graph(table, "mine", overwrite=False, where="The table", word="name")
    require_new_graph(table, "mine", overwrite=True, where="The table")
    require_new_graph(table, "other", overwrite=False, where="The table")
