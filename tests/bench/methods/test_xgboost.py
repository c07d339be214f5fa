from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import xgboost

from stflow.baselines._components import Components
from stflow.bench.methods import METHODS, XGBoost


def test_it_is_listed_and_cited():
    assert METHODS["xgboost"] is XGBoost
    assert XGBoost.citation == "chen2016xgboost"
    assert XGBoost.reads == "embedding"


def test_by_default_it_is_xgboost_with_its_defaults(arrays):
    x, y = (
        np.concatenate([getattr(slide, name) for slide in arrays[:2]])
        for name in ("embedding", "expression")
    )
    components = Components.fit(x, 256, 0)
    theirs = xgboost.XGBRegressor(tree_method="hist", n_jobs=1).fit(components.transform(x), y)
    predicted = theirs.predict(components.transform(arrays[2].embedding))
    method = XGBoost(protocol="hest").fit(arrays[:2])
    assert method.choice == (6, 100)
    assert np.allclose(method.predict(arrays[2]), predicted, atol=0.02)
    theirs.set_params(max_depth=2).fit(components.transform(x), y)
    other = theirs.predict(components.transform(arrays[2].embedding))
    assert not np.allclose(method.predict(arrays[2]), other, atol=0.1)


def test_nested_stops_early_where_nothing_can_be_learned(arrays, rng):
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays]
    assert XGBoost().fit(shuffled).choice[1] == 10


def test_predictions_of_fewer_rounds_are_those_of_a_shorter_fit(arrays):
    found = dict(XGBoost().candidates(arrays[:2], arrays[2], 0))
    assert set(found) == {(depth, rounds) for depth in (3, 6) for rounds in (10, 30, 100)}
    shorter = XGBoost().learn(arrays[:2], (3, 30), 0)(arrays[2])
    assert np.array_equal(found[3, 30], shorter)
    assert not np.array_equal(found[3, 100], shorter)


def test_constant_genes_stay_constant(arrays):
    constant = [replace(s, expression=np.full_like(s.expression, 3.0)) for s in arrays[:2]]
    assert np.allclose(XGBoost().fit(constant).predict(arrays[2]), 3, atol=1e-5)


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r"pip install stflow-spatial\[bench\]"):
        XGBoost()
