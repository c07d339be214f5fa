from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import make_tissue

from stflow._schedule import Schedule
from stflow._sdata._slides import read_slides
from stflow.model._config import Config
from stflow.model._ensemble import Ensemble
from stflow.model.training import _fitting
from stflow.model.training._fitting import fit_ensemble
from stflow.model.training._folds import folds
from stflow.model.training._regressing import fit_regression
from stflow.model.training._unseen import blend_weight
from stflow.slide._slide import Slide

CPU = torch.device("cpu")
SCHEDULE = Schedule(max_epochs=2, early_stopping=9)
TRAINING = {"show_progress_bar": False, "trainer_kwargs": {}}


@pytest.fixture(scope="module")
def slides() -> list[Slide]:
    how = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    tissue = make_tissue(n_spots=64)
    genes = list(tissue["S1"]["table"].var_names[:4])
    return [read_slides(each, name=name, genes=genes, **how)[0] for name, each in tissue.items()]


def fit(slides: list[Slide], n_flows: int = 3, schedule: Schedule = SCHEDULE) -> Ensemble:
    config, held_out = Config(hidden=32, n_layers=1), folds(slides, None, n_flows)
    how = {"seed": 0, "device": CPU, **TRAINING}
    return fit_ensemble(slides, held_out, config, schedule, **how).ensemble


def weights(network: Ensemble) -> list[dict[str, torch.Tensor]]:
    return [{**member.state_dict()} for member in network.members]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def test_a_flow_learns_nothing_from_the_slide_it_leaves_out(slides) -> None:
    """Other counts on S3: the flow that holds it out, its prior included, stays as it was."""
    short = Schedule(max_epochs=1)
    others = [*slides[:2], replace(slides[2], expression=slides[2].expression[::-1].copy())]
    found = [weights(fit(each, schedule=short)) for each in (slides, others)]
    changed = [same(*pair) for pair in zip(*found, strict=True)]
    assert changed == [False, False, True]


def test_the_blend_and_the_law_are_learned_from_spots_that_nothing_had_seen(
    slides, monkeypatch
) -> None:
    seen = []
    learn = _fitting.learn_from

    def spy(unseen, seed):
        seen.extend(unseen)
        return learn(unseen, seed)

    monkeypatch.setattr(_fitting, "learn_from", spy)
    network = fit(slides)
    ready = _fitting.to_tensors(slides, network.features)
    for i, each in enumerate(seen):
        others = [slide for j, slide in enumerate(ready) if j != i]
        kept = np.flatnonzero(ready[i].halves() >= 0)
        assert each.clean
        assert torch.equal(each.slide.expression, ready[i].expression[kept])
        expected = fit_regression(others, 0)(ready[i].features)
        assert torch.allclose(each.regression, expected[kept], atol=1e-5)
    parts = [torch.cat([getattr(e, name) for e in seen]) for name in ("flow", "regression")]
    measured = torch.cat([each.slide.expression for each in seen])
    assert float(network.blend) == pytest.approx(blend_weight(*parts, measured))


@pytest.mark.parametrize(("n_flows", "sizes"), [(3, [10] * 3), (1, [30])])
def test_all_slides_share_the_spots_that_calibrate(slides, monkeypatch, n_flows, sizes) -> None:
    seen, predict = [], _fitting.predict_unseen

    def spy(trained, regression, held_out, n_spots, **how):
        seen.extend(len(slide.middle(n_spots)) for slide in held_out)
        return predict(trained, regression, held_out, n_spots, **how)

    monkeypatch.setattr(_fitting, "predict_unseen", spy)
    monkeypatch.setattr(_fitting, "MAX_CALIBRATION", 30)
    fit(slides, n_flows)
    assert seen == sizes


def replace_members(network: Ensemble, *which: int) -> Ensemble:
    members = [network.members[i] for i in which]
    parts = network.features, network.regression, members, network.residuals, network.novelty
    return Ensemble(*parts, float(network.blend))


def test_the_flows_are_averaged(slides) -> None:
    network, how = fit(slides), {"n_steps": 5, "seed": 0, "device": CPU}
    mean = network.predict(slides[0], n_samples=3, **how).mean
    draws = []
    for i in range(3):
        alone = replace_members(network, i).predict(
            slides[0], n_samples=3, keep_samples=True, **how
        )
        assert not np.allclose(alone.mean, mean, atol=1e-3)
        draws.append(alone)
    together = network.predict(slides[0], n_samples=3, keep_samples=True, **how)
    for i, alone in enumerate(draws):
        np.testing.assert_allclose(together.samples[..., i], alone.samples[..., i], atol=1e-5)
    first = replace_members(network, 0).predict(slides[0], n_samples=1, **how)
    np.testing.assert_allclose(together.latent, first.latent, atol=1e-5)


def test_the_regression_learns_from_all(slides) -> None:
    network = fit(slides, 1)
    ready = _fitting.to_tensors(slides, network.features)
    expected = fit_regression(ready, 0)
    assert same(network.regression.state_dict(), expected.state_dict())
