from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import mean_pearson

from stflow.bench.methods import METHODS, FinetunedSTNet, STNet
from stflow.bench.methods._stnet import _STNetTraining
from stflow.slide._parts import subset

CPU = torch.device("cpu")
QUICK = {"protocol": "hest", "device": "cpu", "max_epochs": 30}


def test_both_are_listed_and_cited():
    assert METHODS["stnet"] is STNet
    assert METHODS["stnet_finetuned"] is FinetunedSTNet
    assert STNet.citation == FinetunedSTNet.citation == "he2020stnet"
    assert STNet().trunk == FinetunedSTNet().trunk == "densenet121"
    assert STNet.reads == "tiles"


@pytest.mark.parametrize("method", [STNet, FinetunedSTNet])
def test_it_learns_what_tiles_show(method: type[STNet], arrays, tiny_trunk):
    predicted = method(**QUICK).fit(arrays[:2]).predict(arrays[2])
    assert mean_pearson(predicted, arrays[2].expression) > 0.2


@pytest.mark.parametrize("method", [STNet, FinetunedSTNet])
def test_expression_of_other_spots_teaches_nothing(method, arrays, tiny_trunk, rng):
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays[:2]]
    predicted = method(**QUICK).fit(shuffled).predict(arrays[2])
    assert mean_pearson(predicted, arrays[2].expression) < 0.12


def test_untrained_it_answers_with_the_mean_and_errs_by_the_variance(arrays):
    training = _STNetTraining(arrays[:1], arrays[0].embedding.shape[1], None, CPU)
    expression = arrays[0].expression
    with torch.inference_mode():
        assert np.allclose(training.predict(arrays[1]), expression.mean(0), atol=1e-6)
        (batch,) = training.batches(np.random.default_rng(0))
        assert training.loss(batch).item() == pytest.approx(expression.var(0).mean(), rel=1e-5)


def test_the_rate_is_chosen_only_when_nested(arrays, tiny_trunk):
    fast = {**QUICK, "max_epochs": 3}
    assert STNet(**fast).fit(arrays).choice == (5e-4, 3)
    assert STNet(**{**fast, "protocol": "nested"}).fit(arrays).choice == (1e-3, 3)


@pytest.mark.slow
def test_it_runs_on_real_tissue(her2st):
    method = STNet(protocol="hest", device="cpu", max_epochs=20, trunk="efficientnet_lite0")
    predicted = method.fit(her2st[:2]).predict(her2st[2])
    assert mean_pearson(predicted, her2st[2].expression) > 0.1


@pytest.mark.slow
def test_the_trunk_is_trained_on_real_tissue(her2st):
    method = FinetunedSTNet(protocol="hest", device="cpu", max_epochs=1, trunk="efficientnet_lite0")
    her2st = [subset(slide, np.arange(0, slide.n_spots, 3)) for slide in her2st]
    predicted = method.fit(her2st[:2]).predict(her2st[2])
    assert predicted.shape == her2st[2].expression.shape
    assert np.isfinite(predicted).all()
    assert (predicted.std(0) > 0).all()
