from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import make_tissue

from stflow._schedule import Schedule
from stflow._sdata._slides import read_slides
from stflow.model._config import Config
from stflow.model._ensemble import Ensemble, Member
from stflow.model._features import Features
from stflow.model.training import _fitting
from stflow.model.training._crops import TensorSlide
from stflow.model.training._fitting import Fitted, fit_ensemble
from stflow.model.training._folds import folds
from stflow.model.training._member import Trained
from stflow.model.training._regressing import fit_regression
from stflow.model.training._unseen import Unseen, blend_weight
from stflow.slide._slide import Slide

CPU = torch.device("cpu")
SCHEDULE = Schedule(max_epochs=2, early_stopping=99, batch_size=4)
ONE_EPOCH = replace(SCHEDULE, max_epochs=1)
TRAINING = {"show_progress_bar": False, "trainer_kwargs": {}}
CONFIG = Config(hidden=32, n_layers=1)


@pytest.fixture(scope="module")
def slides() -> list[Slide]:
    how = {"table_key": "table", "embedding_key": "X_embedding", "coordinate_system": "global"}
    tissue = make_tissue(n_spots=64)
    genes = list(tissue["S1"]["table"].var_names[:4])
    return [read_slides(each, name=name, genes=genes, **how)[0] for name, each in tissue.items()]


def fit(slides: list[Slide], n_flows: int = 3, schedule: Schedule = SCHEDULE) -> Fitted:
    how = {"seed": 0, "devices": [CPU], **TRAINING}
    return fit_ensemble(slides, folds(slides, None, n_flows), CONFIG, schedule, **how)


class Spy:
    """What a fit trains, and of which spots it learns how much to trust that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flows: list[Trained] = []
        self.calls: list[tuple[list[TensorSlide], list[TensorSlide], Schedule]] = []
        self.unseen: list[Unseen] = []
        self.train, self.learn = _fitting.train_member, _fitting.learn_from
        monkeypatch.setattr(_fitting, "train_member", self.note_flow)
        monkeypatch.setattr(_fitting, "learn_from", self.note_unseen)

    def note_flow(
        self,
        kept: list[TensorSlide],
        held_out: list[TensorSlide],
        config: Config,
        schedule: Schedule,
        **how: Any,
    ) -> Trained:
        self.calls.append((kept, held_out, schedule))
        self.flows.append(self.train(kept, held_out, config, schedule, **how))
        return self.flows[-1]

    def note_unseen(self, unseen: list[Unseen], seed: int) -> tuple:
        self.unseen = unseen
        return self.learn(unseen, seed)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


@pytest.fixture(scope="module")
def seen(slides) -> Iterator[tuple[Fitted, Spy]]:
    """A fit of three flows by turns and a last one, and what it did."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        spy = Spy(monkeypatch)
        fitted = fit(slides)
    return fitted, spy


def weights(members: list[Member]) -> list[dict[str, torch.Tensor]]:
    return [{**member.state_dict()} for member in members]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


def without(slides: list[Slide], left_out: int) -> tuple[list[TensorSlide], TensorSlide]:
    """Slides as those see them who never saw one of them: the others, and that one."""
    others = [slide for i, slide in enumerate(slides) if i != left_out]
    ready = _fitting.to_tensors(slides, Features.fit(others, CONFIG.n_components, 0))
    return [slide for i, slide in enumerate(ready) if i != left_out], ready[left_out]


@pytest.fixture(scope="module")
def short(slides) -> list[dict[str, torch.Tensor]]:
    """Weights of the flows of a fit that trains each for an epoch, whatever it leaves out."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        spy = Spy(monkeypatch)
        fit(slides, schedule=ONE_EPOCH)
    return weights([flow.member for flow in spy.flows])


@pytest.mark.parametrize("changed", range(3))
def test_a_flow_learns_nothing_from_the_slide_it_leaves_out(slides, short, spy, changed) -> None:
    """A slide with other counts and another image: only the flow that holds it out stays the same.

    So do its prior and what it sees of an image; the last flow holds out none.
    """
    parts = ("expression", "embedding")
    odd = {part: getattr(slides[changed], part)[::-1].copy() for part in parts}
    others = [replace(slide, **odd) if i == changed else slide for i, slide in enumerate(slides)]
    last = fit(others, schedule=ONE_EPOCH).ensemble.members
    found = weights([flow.member for flow in spy.flows])
    assert [same(*pair) for pair in zip(found, short, strict=True)] == [
        i == changed for i in range(4)
    ]
    assert same(*weights(last), found[3])


def test_the_last_flow_alone_predicts(slides, seen) -> None:
    fitted, spy = seen
    assert fitted.turns == [0, 1, 2]
    assert not fitted.interrupted
    assert same(*weights(fitted.ensemble.members), *weights([spy.flows[3].member]))
    history = fitted.history
    assert history["flow"].unique().tolist() == [0, 1, 2, 3]
    assert history["val_loss"][history["flow"] < 3].notna().all()
    assert history.loc[history["flow"] == 3, ["val_loss", "val_pearson"]].isna().all(axis=None)
    kept, held_out, _ = spy.calls[3]
    assert held_out == []
    assert [slide.n_spots for slide in kept] == [slide.n_spots for slide in slides]


def test_one_flow_alone_predicts_what_it_is(slides, spy) -> None:
    """Negative control: there is nothing to average, and no last flow."""
    fitted = fit(slides, 1, ONE_EPOCH)
    (flow,) = spy.flows
    assert fitted.turns == [0]
    assert same(*weights(fitted.ensemble.members), *weights([flow.member]))
    assert fitted.history["val_loss"].notna().all()


@pytest.mark.parametrize(
    ("best", "n_epochs"), [((1, 3, 5), 3), ((1, 1, 2), 1), ((6, 6, 6), 6), ((4, 5, 6), 5)]
)
def test_the_last_flow_trains_as_long_as_the_others_were_best(
    slides, spy, best: tuple[int, ...], n_epochs: int
) -> None:
    """Flows that are best after some epochs of 8 steps; the last trains for their mean."""
    train, turns = spy.train, iter(best)

    def judged(kept, held_out, config, schedule, **how) -> Trained:
        if not held_out:
            return train(kept, held_out, config, schedule, **how)
        trained = train(kept, held_out, config, ONE_EPOCH, **how)
        steps = 8 * np.arange(1, schedule.max_epochs + 1)
        losses = 1.0 + np.abs(steps - 8 * next(turns))
        history = pd.DataFrame({"step": steps, "train_loss": 1.0, "val_loss": losses})
        return replace(trained, history=history)

    spy.train = judged
    fitted = fit(slides, schedule=replace(SCHEDULE, max_epochs=6))
    assert spy.calls[3][2].max_epochs == n_epochs
    last = fitted.history[fitted.history["flow"] == 3]
    assert last["step"].tolist() == [8 * (epoch + 1) for epoch in range(n_epochs)]


@pytest.mark.parametrize(
    ("sizes", "batch_size", "best", "n_epochs"),
    [
        ([512] * 4, 1, [32, 64, 96], 2),
        ([512] * 32, 1, [32, 64, 96], 1),  # an epoch of more spots has more steps: 64
        ([512] * 4, 4, [32, 64, 96], 8),  # and one of larger steps has fewer: 8
        ([512] * 4, 1, [1, 1, 1], 1),
        ([512] * 4, 1, [32, 32 * 99], 9),  # never more than `max_epochs`
    ],
)
def test_as_long_is_counted_in_steps(sizes, batch_size, best, n_epochs) -> None:
    histories = [
        pd.DataFrame({"step": [1, each, 9999], "val_loss": [2.0, 1.0, np.nan]}) for each in best
    ]
    slides = SimpleNamespace(slides=[SimpleNamespace(n_spots=n) for n in sizes])
    schedule = Schedule(max_epochs=9, batch_size=batch_size)
    found = _fitting._as_long_as(histories, slides, schedule)
    assert found == replace(schedule, max_epochs=n_epochs)


def test_the_blend_and_the_law_are_learned_from_spots_that_nothing_had_seen(slides, seen) -> None:
    fitted, spy = seen
    for i, each in enumerate(spy.unseen):
        others, left_out = without(slides, i)
        kept = np.flatnonzero(left_out.halves() >= 0)
        assert each.clean
        assert each.group == i
        assert torch.equal(each.slide.expression, left_out.expression[kept])
        expected = fit_regression(others, 0)(left_out.features)
        assert torch.allclose(each.regression, expected[kept], atol=1e-5)
    parts = [torch.cat([getattr(e, name) for e in spy.unseen]) for name in ("flow", "regression")]
    measured = torch.cat([each.slide.expression for each in spy.unseen])
    assert float(fitted.ensemble.blend) == pytest.approx(blend_weight(*parts, measured))


@pytest.mark.parametrize(("n_flows", "sizes"), [(3, [10] * 3), (1, [30])])
def test_all_slides_share_the_spots_that_calibrate(slides, monkeypatch, n_flows, sizes) -> None:
    seen, predict = [], _fitting.predict_unseen

    def spy(trained, regression, held_out, n_spots, **how):
        seen.extend(len(slide.middle(n_spots)) for slide in held_out)
        return predict(trained, regression, held_out, n_spots, **how)

    monkeypatch.setattr(_fitting, "predict_unseen", spy)
    monkeypatch.setattr(_fitting, "MAX_CALIBRATION", 30)
    fit(slides, n_flows, ONE_EPOCH)
    assert seen == sizes


def with_members(network: Ensemble, *members: Member) -> Ensemble:
    parts = network.features, network.regression, [*members], network.residuals, network.novelty
    return Ensemble(*parts, float(network.blend))


def test_flows_of_a_fit_that_was_cut_off_are_averaged(slides, seen) -> None:
    fitted, spy = seen
    members = [flow.member for flow in spy.flows[:3]]
    network, how = with_members(fitted.ensemble, *members), {"n_steps": 5, "seed": 0, "device": CPU}
    mean = network.predict(slides[0], n_samples=3, **how).mean
    draws = []
    for member in members:
        alone = with_members(network, member).predict(
            slides[0], n_samples=3, keep_samples=True, **how
        )
        assert not np.allclose(alone.mean, mean, atol=1e-3)
        draws.append(alone)
    together = network.predict(slides[0], n_samples=3, keep_samples=True, **how)
    for i, alone in enumerate(draws):
        np.testing.assert_allclose(together.samples[..., i], alone.samples[..., i], atol=1e-5)
    first = with_members(network, members[0]).predict(slides[0], n_samples=1, **how)
    np.testing.assert_allclose(together.latent, first.latent, atol=1e-5)


@pytest.mark.parametrize("n_flows", [1, 3])
def test_the_regression_learns_from_all(slides, seen, n_flows: int) -> None:
    network = (seen[0] if n_flows == 3 else fit(slides, 1, ONE_EPOCH)).ensemble
    ready = _fitting.to_tensors(slides, network.features)
    expected = fit_regression(ready, 0)
    assert same(network.regression.state_dict(), expected.state_dict())
