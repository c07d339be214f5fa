from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge as LinearModel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stflow import baselines
from stflow.bench.methods import METHODS, Ridge
from stflow.slide._slide import Slide


def wide(arrays: list[Slide], rng: np.random.Generator, width: int) -> list[Slide]:
    """Slides with standard normal columns beside the embedding, ``width`` in all."""
    noise = [rng.normal(size=(s.n_spots, width - s.embedding.shape[1])) for s in arrays]
    pairs = zip(arrays, noise, strict=True)
    return [replace(s, embedding=np.hstack([s.embedding, e]).astype("f4")) for s, e in pairs]


def stacked(slides: list[Slide]) -> tuple[np.ndarray, np.ndarray]:
    x, y = (
        np.concatenate([getattr(slide, name) for slide in slides])
        for name in ("embedding", "expression")
    )
    return x, y


def test_it_is_listed_and_cited():
    assert METHODS["ridge"] is Ridge
    assert Ridge.citation == "jaume2024hest"
    assert Ridge.reads == "embedding"


@pytest.mark.parametrize("width", [12, 300])
def test_as_published_it_is_sklearns_pipeline(width, arrays, rng):
    slides = wide(arrays, rng, width)
    *train, test = [slides[0], replace(slides[1], name="b"), slides[2]]
    train.append(replace(wide(arrays, rng, width)[2], name="c"))
    x, y = stacked(train)
    kept = min(256, width, len(x))
    theirs = make_pipeline(
        StandardScaler(),
        PCA(kept, random_state=3),
        LinearModel(100 / (kept * 8), fit_intercept=False, solver="lsqr", max_iter=1000),
    ).fit(x, y)
    ours = Ridge(protocol="hest").fit(train, seed=3).predict(test)
    assert np.allclose(ours, theirs.predict(test.embedding), atol=1e-4)
    theirs.set_params(ridge__alpha=1e4).fit(x, y)
    assert not np.allclose(ours, theirs.predict(test.embedding), atol=1e-2)


def test_only_nested_has_an_intercept(arrays):
    raised = [replace(s, expression=s.expression + 5) for s in arrays]
    for protocol, moved, within in (("nested", 5, 1e-3), ("hest", 0, 0.1)):
        method, other = (Ridge(protocol=protocol).fit(s[:2]) for s in (arrays, raised))
        difference = other.predict(raised[2]) - method.predict(arrays[2])
        assert np.allclose(difference, moved, atol=within)


def test_as_published_predictions_of_the_training_spots_have_mean_zero(arrays):
    mean = stacked(arrays[:2])[1].mean(0)
    for protocol, expected in (("hest", 0 * mean), ("nested", mean)):
        method = Ridge(protocol=protocol).fit(arrays[:2])
        predicted = np.concatenate([method.predict(slide) for slide in arrays[:2]])
        assert np.allclose(predicted.mean(0), expected, atol=1e-3)


def test_nested_is_the_baseline(arrays):
    method, baseline = Ridge().fit(arrays[:2]), baselines.Ridge().fit(arrays[:2])
    assert method.choice == baseline.choice
    assert np.array_equal(method.predict(arrays[2]), baseline.predict(arrays[2]))
    assert np.array_equal(method.residual_sd, baseline.residual_sd)
    assert Ridge(protocol="hest").fit(arrays[:2]).choice == ()


def test_as_published_all_spots_are_fitted(arrays, monkeypatch):
    before = {p: Ridge(protocol=p).fit(arrays[:2]).predict(arrays[2]) for p in ("hest", "nested")}
    monkeypatch.setattr("stflow.slide._parts.MAX_SPOTS", 50)
    after = {p: Ridge(protocol=p).fit(arrays[:2]).predict(arrays[2]) for p in ("hest", "nested")}
    assert np.array_equal(before["hest"], after["hest"])
    assert not np.allclose(before["nested"], after["nested"])
