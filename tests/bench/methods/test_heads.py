"""What ridge, random forest and XGBoost on embeddings have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support import mean_pearson

from stflow.bench.methods import METHODS
from stflow.bench.methods._method import PROTOCOLS
from stflow.slide._parts import subset
from stflow.slide._slide import Slide

HEADS = [(name, p) for name in ("ridge", "random_forest", "xgboost") for p in PROTOCOLS]
heads = pytest.mark.parametrize(("name", "protocol"), HEADS)


def predict(name: str, protocol: str, train: list[Slide], test: Slide) -> np.ndarray:
    return METHODS[name](protocol=protocol, device="cpu").fit(train).predict(test)


@heads
def test_each_learns_what_the_embedding_shows(name, protocol, arrays):
    predicted = predict(name, protocol, arrays[:2], arrays[2])
    assert predicted.shape == arrays[2].expression.shape
    assert predicted.dtype == np.float32
    assert mean_pearson(predicted, arrays[2].expression) > 0.3


@heads
def test_shuffled_expression_teaches_nothing(name, protocol, arrays, rng):
    shuffled = [replace(s, expression=rng.permuted(s.expression, axis=0)) for s in arrays[:2]]
    predicted = predict(name, protocol, shuffled, arrays[2])
    assert abs(mean_pearson(predicted, arrays[2].expression)) < 0.15


@pytest.mark.slow
@heads
def test_each_runs_on_real_tissue(name, protocol, her2st):
    *train, test = [replace(s, expression=s.expression[:, :3], genes=s.genes[:3]) for s in her2st]
    predicted = predict(name, protocol, train, test)
    assert predicted.shape == test.expression.shape
    assert np.isfinite(predicted).all()
    assert mean_pearson(predicted, test.expression) > 0.2


@heads
def test_one_gene_and_nine_spots(name, protocol, arrays):
    one = [replace(s, expression=s.expression[:, :1], genes=s.genes[:1]) for s in arrays]
    few = subset(one[0], np.arange(9))
    predicted = predict(name, protocol, [few], one[2])
    assert predicted.shape == (one[2].n_spots, 1)
    assert np.isfinite(predicted).all()


@heads
def test_columns_that_never_vary_change_nothing(name, protocol, arrays):
    wider = [
        replace(s, embedding=np.pad(s.embedding, ((0, 0), (0, 3)), constant_values=value))
        for s, value in zip(arrays, (0.1, 0.1, 0.2), strict=True)
    ]
    with_them = predict(name, protocol, wider[:2], wider[2])
    without = predict(name, protocol, arrays[:2], arrays[2])
    assert mean_pearson(with_them, without) > 0.999
    turned = [replace(s, expression=s.expression[::-1]) for s in arrays[:2]]
    assert mean_pearson(with_them, predict(name, protocol, turned, arrays[2])) < 0.5


@heads
def test_same_seed_same_numbers(name, protocol, arrays):
    first, again = (predict(name, protocol, arrays[:2], arrays[2]) for _ in range(2))
    assert np.array_equal(first, again)


@heads
def test_protocol_hest_chooses_nothing(name, protocol, arrays):
    candidates = METHODS[name](protocol=protocol).candidates(arrays[:1], arrays[1], 0)
    choices = [choice for choice, _ in candidates]
    assert (len(choices) == 1) == (protocol == "hest")
    assert len(set(choices)) == len(choices)
