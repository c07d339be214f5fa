from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import make_tissue

from stflow._schedule import Schedule
from stflow._sdata._slides import read_slides
from stflow.baselines import METHODS, NetworkRegression, _network
from stflow.bench.methods import FullModel
from stflow.slide._slide import Slide


@pytest.fixture(scope="module")
def slides() -> list[Slide]:
    """Three small synthetic slides."""
    how = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    tissue = make_tissue(n_spots=64)
    genes = list(next(iter(tissue.values()))["table"].var_names[:4])
    return [read_slides(each, name=name, genes=genes, **how)[0] for name, each in tissue.items()]


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_network, "Schedule", lambda: Schedule(max_epochs=1))
    monkeypatch.setattr(_network, "N_FLOWS", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("_short")
def test_it_is_a_regression_fitted_without_the_slide_it_predicts(slides: list[Slide]) -> None:
    *train, test = slides
    before = torch.random.get_rng_state()
    method = METHODS["network"]().fit(train)
    assert isinstance(method, NetworkRegression)
    assert torch.equal(torch.random.get_rng_state(), before)
    predicted = method.predict(test)
    assert predicted.shape == test.expression.shape
    assert np.isfinite(predicted).all()
    unknown = replace(test, expression=None, genes=())
    assert np.array_equal(method.predict(unknown), predicted)
    assert np.array_equal(NetworkRegression().fit(train).predict(test), predicted)
    again = NetworkRegression()
    (rest, held_out), *others = again._pairs(train)
    assert others == []
    assert held_out is train[-1]
    left_out = again.learn(rest, (), 0)(held_out) - held_out.expression
    assert method.residual_sd == pytest.approx(np.sqrt(np.square(left_out).mean(0)), rel=1e-4)


@pytest.mark.parametrize("method", [NetworkRegression, FullModel])
def test_an_interrupt_ends_the_fit(slides: list[Slide], monkeypatch, method) -> None:
    def interrupted(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(interrupted=True)

    monkeypatch.setattr(_network, "fit_ensemble", interrupted)
    with pytest.raises(KeyboardInterrupt):
        method().fit(slides)
