"""Layers by name: X is none of them, whatever anndata calls it."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from stflow._sdata._write import lacks_panel, with_panel
from stflow._sdata.expression._expression import read_counts, read_prediction
from stflow._sdata.expression._layers import layer_names
from stflow._sdata.expression._observed import read_observed


@pytest.fixture
def table() -> AnnData:
    table = AnnData(np.ones((3, 2), np.float32))
    table.layers["raw"] = np.full((3, 2), 2.0)
    return table


def test_x_is_not_a_layer(table):
    assert layer_names(table) == ["raw"]
    assert layer_names(table[:2]) == ["raw"]
    assert layer_names(AnnData(np.ones((3, 2)))) == []
    assert layer_names(AnnData(shape=(3, 2))) == []


def test_messages_list_no_layer_called_none(table):
    with pytest.raises(KeyError, match=r"layers: 'raw'\. Run"):
        read_prediction(table, "stflow", where="t")
    with pytest.raises(KeyError, match=r"available: 'raw'\. Name"):
        read_counts(table, ["0"], layer="counts", where="t")
    with pytest.raises(KeyError, match=r"nor a layer \('raw'\)\."):
        read_observed(table, "known", ["0"], layer=None, where="t")


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


def test_a_measured_table_keeps_its_genes(table):
    assert not lacks_panel(table, ["0", "other"])
