"""Names of results, and those of earlier versions."""

from __future__ import annotations

import json

import numpy as np

from stflow.bench._results import Key, Results, unlike


def test_results_of_counts_keep_their_names():
    what = ("t", "f", "nested", "ridge", "uni", 0)
    counts, cp10k = Key(*what, "counts"), Key(*what, "cp10k")
    assert counts.name == "t--f--nested--ridge--uni--0"
    assert cp10k.name == "t--f--nested--ridge--uni--0--cp10k"
    assert Key(*what) == counts


def test_rows_that_say_no_units_are_of_counts(tmp_path):
    results = Results(tmp_path)
    cp10k = Key("t", "f", "nested", "ridge", "uni", 0, "cp10k")
    results.add(cp10k, {"pearson": 0.1, "error": ""})
    older = {"task": "t", "fold": "f", "protocol": "nested", "method": "ridge", "encoder": "uni"}
    older |= {"seed": 0, "pearson": 0.7, "error": ""}
    (tmp_path / "rows/t--f--nested--ridge--uni--0.json").write_text(json.dumps(older))
    frame = results.frame()
    assert dict(zip(frame["units"], frame["pearson"], strict=True)) == {"cp10k": 0.1, "counts": 0.7}
    assert list(frame.columns[:7]) == [*[*older][:6], "units"]
    assert {Key.of(row) for row in frame.to_dict("records")} == {
        cp10k,
        Key("t", "f", "nested", "ridge", "uni", 0),
    }
    assert results.row(Key("t", "f", "nested", "ridge", "uni", 0)) == older


def test_arrays_that_one_side_lacks_are_no_difference():
    one = {"measured": np.ones(3), "totals": np.ones(3)}
    assert unlike(one, {"measured": np.ones(3)}) == []
    assert unlike(one, {"measured": np.zeros(3)}) == ["measured"]
