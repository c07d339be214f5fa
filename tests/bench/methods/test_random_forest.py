from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.preprocessing import StandardScaler

from stflow.baselines import _forest
from stflow.bench.methods import METHODS, RandomForest


def test_it_is_listed_and_cited():
    assert METHODS["random_forest"] is RandomForest
    assert RandomForest.citation == "jaume2024hest"
    assert RandomForest.reads == "embedding"


@pytest.fixture
def grown(monkeypatch) -> list[dict]:
    """Settings of every forest that is grown."""
    settings: list[dict] = []

    class Noted(RandomForestRegressor):
        def fit(self, x: np.ndarray, y: np.ndarray) -> Noted:
            settings.append({**self.get_params(), "spots": len(x), "components": x.shape[1]})
            return super().fit(x, y)

    monkeypatch.setattr(_forest, "RandomForestRegressor", Noted)
    return settings


def test_as_published_its_settings_are_sklearns_but_for_the_trees(grown, arrays):
    method = RandomForest(protocol="hest").fit(arrays[:2])
    assert method.choice == (256, 1)
    usual = RandomForestRegressor().get_params()
    last = grown[-1]
    changed = {key for key, value in usual.items() if last[key] != value}
    assert changed == {"n_estimators", "max_samples", "random_state", "n_jobs"}
    assert last["n_estimators"] == 70
    assert last["max_samples"] == last["spots"] == 200
    assert last["components"] == min(256, arrays[0].embedding.shape[1])


def test_nested_chooses_components_and_leaves(grown, arrays):
    method = RandomForest().fit(arrays)
    assert method.choice in set(product((64, 256), (1, 5, 15)))
    assert len(grown) == 3 * 6 + 1
    assert {settings["max_features"] for settings in grown} == {1 / 3}
    assert grown[-1]["min_samples_leaf"] == method.choice[1]


def test_trees_of_many_spots_are_grown_on_5000(grown, arrays, monkeypatch):
    monkeypatch.setattr(_forest, "MAX_SPOTS_A_TREE", 40)
    RandomForest(protocol="hest").fit(arrays[:2])
    assert {settings["max_samples"] for settings in grown} == {40}


def test_it_is_as_good_as_sklearns_pipeline(arrays):
    x, y = (
        np.concatenate([getattr(slide, name) for slide in arrays[:2]])
        for name in ("embedding", "expression")
    )
    scaler = StandardScaler().fit(x)
    pca = PCA(x.shape[1]).fit(scaler.transform(x))
    forest = RandomForestRegressor(70, random_state=1).fit(pca.transform(scaler.transform(x)), y)
    theirs = forest.predict(pca.transform(scaler.transform(arrays[2].embedding)))
    ours = RandomForest(protocol="hest").fit(arrays[:2]).predict(arrays[2])
    assert np.square(ours - theirs).mean() < 0.1 * theirs.var(0).mean()
