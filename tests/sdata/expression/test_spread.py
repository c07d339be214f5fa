"""How far predictions may be off, as tables keep it: by gene, by region, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stflow._sdata.expression import read_spread, record_shift

GENES = ["B", "A"]


@pytest.fixture
def table() -> AnnData:
    table = AnnData(np.zeros((6, 3)), var=pd.DataFrame(index=list("ABC")))
    table.obsm["stflow_sd"] = pd.DataFrame(np.arange(1.0, 13).reshape(6, 2), table.obs_names, GENES)
    table.uns["stflow"] = {"genes": np.array(GENES), **record_shift(np.array([0.2, 0.1]), 3)}
    return table


def read(table: AnnData, genes: list[str] = GENES) -> tuple[np.ndarray, np.ndarray, float]:
    found = read_spread(table, "stflow", genes, where="table 'table'")
    return found.sd, found.shifts, found.df


def test_spread_is_read_by_gene(table):
    sd, shifts, df = read(table)
    np.testing.assert_array_equal(sd, table.obsm["stflow_sd"])
    np.testing.assert_array_equal(shifts, [[0.2, 0.1]])
    assert df == 3.0
    sd, shifts, _ = read(table, ["A"])
    np.testing.assert_array_equal(sd, table.obsm["stflow_sd"][["A"]])
    np.testing.assert_array_equal(shifts, [[0.1]])
    fewer = table[:, ["A", "C"]].copy()
    np.testing.assert_array_equal(read(fewer)[1], [[0.2, 0.1]])


def test_mean_amounts_are_off_as_recorded_or_as_their_gene(table):
    found = read_spread(table, "stflow", ["A"], where="table 'table'")
    np.testing.assert_array_equal(found.bulk_shifts, [[0.1]])
    np.testing.assert_array_equal(found.bulk_bias, [0])
    bulk = np.array([[-0.5, 0.4], [0.3, 0.2]])
    table.uns["stflow"] |= record_shift(np.array([0.2, 0.1]), 3, bulk)
    found = read_spread(table, "stflow", ["A"], where="table 'table'")
    np.testing.assert_array_equal(found.bulk_shifts, [[0.2]])
    np.testing.assert_array_equal(found.bulk_bias, [0.4])
    np.testing.assert_array_equal(found.shifts, [[0.1]])


def test_a_prediction_may_say_nothing(table):
    del table.obsm["stflow_sd"]
    assert read(table)[0] is None
    for info in ({"units": "cp10k"}, "a note", None):
        table.uns["stflow"] = info
        assert read(table)[2] == np.inf
        np.testing.assert_array_equal(read(table)[1], [[0, 0]])
    del table.uns["stflow"]
    np.testing.assert_array_equal(read(table)[1], [[0, 0]])


def test_observed_spots_tell_the_shift_of_their_region_alone(two_regions):
    table = two_regions["table"]
    genes = list(table.var_names[:2])
    table.uns["stflow"] = {"genes": np.array(genes), **record_shift(np.array([0.2, 0.1]), 1)}
    found = read_spread(table, "stflow", genes, where="table 'table'")
    np.testing.assert_array_equal(found.shifts, [[0.2, 0.1]] * 2)
    first = table.obs["region"] == table.obs["region"].iloc[0]
    table.obs["stflow_observed"] = False
    table.obs.iloc[np.flatnonzero(~first)[3], table.obs.columns.get_loc("stflow_observed")] = True
    found = read_spread(table, "stflow", genes, where="table 'table'")
    np.testing.assert_array_equal(found.shifts, [[0.2, 0.1], [0, 0]])
    np.testing.assert_array_equal(found.bulk_shifts, found.shifts)


@pytest.mark.parametrize(
    ("shift", "df"), [([np.nan, 0], 1), ([np.inf, 0], 1), ([-0.1, 0], 2), ([0, 0], 0.5)]
)
def test_shifts_out_of_range(table, shift: list, df: float):
    table.uns["stflow"] |= record_shift(np.array(shift), df)
    with pytest.raises(ValueError, match=r"\['stflow'\] of table 'table' holds shifts .*again"):
        read(table)


@pytest.mark.parametrize("bulk", [[[np.nan, 0], [0, 0]], [[0, 0], [-0.1, 0]]])
def test_mean_amounts_out_of_range(table, bulk: list):
    table.uns["stflow"] |= record_shift(np.zeros(2), 3, np.array(bulk))
    with pytest.raises(ValueError, match=r"\['stflow'\] of table 'table' holds shifts .*again"):
        read(table)


def test_genes_that_are_not_there(table):
    with pytest.raises(KeyError, match=r"1 of 1 genes are not among the genes of \.uns.*'C'"):
        read(table, ["C"])
    table.uns["stflow"] = {}
    with pytest.raises(KeyError, match="not among the genes of 'stflow_sd' in table 'table': 'C'"):
        read(table, ["C"])
