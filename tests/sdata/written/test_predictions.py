"""A panel on a table that has no genes, or too few."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from stflow._sdata.expression import layer_names
from stflow._sdata.written import lacks_panel, with_panel


@pytest.mark.parametrize("x", [None, np.zeros((3, 0), np.float32)], ids=["none", "no columns"])
def test_a_panel_on_a_table_without_genes_leaves_x_empty(x):
    empty = AnnData(x, shape=(3, 0) if x is None else None)
    empty.layers["mine"] = np.zeros((3, 0), np.float32)
    assert lacks_panel(empty, ["A"])
    table = with_panel(empty, ["A", "B"])
    assert list(table.var_names) == ["A", "B"]
    assert table.X is None
    assert layer_names(table) == ["mine"]
    assert np.isnan(table.layers["mine"]).all()


def test_a_measured_table_keeps_its_genes():
    table = AnnData(np.ones((3, 2), np.float32))
    assert not lacks_panel(table, ["0", "other"])
    assert lacks_panel(AnnData(shape=(3, 2)), ["0", "other"])
