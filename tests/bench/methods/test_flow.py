from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stflow._units import log_expression, raw_counts
from stflow.baselines import _network
from stflow.bench.methods import (
    METHODS,
    Flow,
    FlowEpochOnTest,
    FlowGaussian,
    FlowWithoutMatching,
    FullModel,
    _flow,
)
from stflow.bench.methods._parts._egnn import EGNNLayer
from stflow.flow import NB, ZINB, Empirical, Gaussian, Zero
from stflow.metrics import pearson
from stflow.model.denoiser._attention import SpatialAttention

HOW = {"protocol": "hest", "device": "cpu"}
VARIANTS = {
    "flow": (ZINB, SpatialAttention),
    "flow_nb": (NB, SpatialAttention),
    "flow_zero": (Zero, SpatialAttention),
    "flow_gaussian": (Gaussian, SpatialAttention),
    "flow_empirical": (Empirical, SpatialAttention),
    "flow_no_fm": (Zero, SpatialAttention),
    "flow_no_fa": (ZINB, SpatialAttention),
    "flow_egnn": (ZINB, EGNNLayer),
    "flow_epoch_on_test": (ZINB, SpatialAttention),
}


def score(method, slide) -> float:
    """Mean correlation of the genes; 0 where nothing varies."""
    return float(np.nan_to_num(pearson(slide.expression, method.predict(slide))).mean())


@pytest.fixture
def members(monkeypatch) -> list:
    """What was trained."""
    kept, train = [], _flow.train_member

    def spy(*args, **kwargs):
        trained = train(*args, **kwargs)
        kept.append((trained, args[3]))
        return trained

    monkeypatch.setattr(_flow, "train_member", spy)
    return kept


@pytest.mark.parametrize("name", VARIANTS)
def test_each_name_is_the_variant_it_says(members, arrays, name) -> None:
    prior, layer = VARIANTS[name]
    method = METHODS[name](max_epochs=1, **HOW)
    more = {"peek": [arrays[2]]} if method.peeks else {}
    predicted = method.fit(arrays[:2], seed=0, **more).predict(arrays[2])
    assert predicted.shape == arrays[2].expression.shape
    assert method.choice == (5e-4,)
    ((trained, schedule),) = members
    member, history = trained.member, trained.history
    assert type(member.prior) is prior
    assert len(history) == 1
    assert schedule.batch_size == 1
    denoiser = member.denoiser
    assert [type(each) for each in denoiser.layers] == 4 * [layer]
    assert (denoiser.hidden, denoiser.flow) == (128, name != "flow_no_fm")
    if layer is SpatialAttention:
        assert denoiser.layers[0].n_heads == 4
        assert len(denoiser.layers[0].edges.frames) == (1 if name == "flow_no_fa" else 4)
    error = method.predict(arrays[1]) - arrays[1].expression
    assert method.residual_sd == pytest.approx(np.sqrt(np.square(error).mean(0)), rel=1e-4)


@pytest.mark.parametrize("name", ["flow", "flow_nb", "flow_empirical", "flow_e2cnn", "triplex"])
def test_in_normalised_units_predictions_are_such(arrays, name) -> None:
    normalised = [
        replace(
            slide, units="cp10k", expression=np.float32(log_expression(counts, totals, "cp10k"))
        )
        for slide in arrays
        for totals in [np.asarray(slide.totals)]
        for counts in [raw_counts(slide.expression, totals, "counts")]
    ]
    *train, test = normalised
    unknown = replace(test, expression=None, totals=None, genes=())
    predicted = METHODS[name](max_epochs=1, **HOW).fit(train, seed=0).predict(unknown)
    means = [np.concatenate([s.expression for s in group]).mean(0) for group in (train, arrays[:2])]
    assert np.abs(predicted.mean(0) - means[0]).mean() < 0.8
    assert np.abs(means[0] - means[1]).mean() > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow", "flow_no_fm", "flow_egnn"])
def test_it_learns(arrays, name) -> None:
    assert score(METHODS[name](max_epochs=5, **HOW).fit(arrays[:2], seed=0), arrays[2]) > 0.25


@pytest.mark.slow
def test_of_shuffled_expression_it_learns_less_than_half(arrays, rng) -> None:
    shuffled = [
        replace(slide, expression=rng.permutation(np.asarray(slide.expression)))
        for slide in arrays[:2]
    ]
    mean = np.concatenate([slide.expression for slide in arrays[:2]]).mean(0)
    explained = []
    for slides in (arrays[:2], shuffled):
        predicted = Flow(max_epochs=5, **HOW).fit(slides, seed=0).predict(arrays[2])
        left, all_of_it = (
            np.square(each - arrays[2].expression).sum() for each in (predicted, mean)
        )
        explained.append(1 - left / all_of_it)
    assert explained[0] > 0.08
    assert explained[1] < explained[0] / 2


def test_the_same_seed_gives_the_same_and_the_slide_itself_is_not_looked_at(arrays) -> None:
    unknown = replace(arrays[2], expression=None, genes=())
    first, again = (Flow(max_epochs=1, **HOW).fit(arrays[:2], seed=3) for _ in range(2))
    assert np.array_equal(first.predict(arrays[2]), again.predict(unknown))
    other = Flow(max_epochs=1, **HOW).fit(arrays[:2], seed=4)
    assert not np.allclose(first.predict(unknown), other.predict(unknown), atol=1e-4)


def test_the_mean_of_samples_is_what_is_predicted(arrays, monkeypatch) -> None:
    """Other samples change it, but for the regression, which draws nothing."""
    for cls, changes in ((FlowGaussian, True), (FlowWithoutMatching, False)):
        eight = cls(max_epochs=1, **HOW).fit(arrays[:2], seed=0).predict(arrays[2])
        monkeypatch.setattr(_flow, "N_SAMPLES", 1)
        one = cls(max_epochs=1, **HOW).fit(arrays[:2], seed=0).predict(arrays[2])
        monkeypatch.undo()
        assert (not np.array_equal(one, eight)) == changes


@pytest.mark.slow
def test_nested_tries_three_rates_and_trains_each_once(members, arrays) -> None:
    method = Flow(protocol="nested", device="cpu", max_epochs=1).fit(arrays[:2], seed=0)
    assert [schedule.lr for _, schedule in members] == [1e-3, 5e-4, 1e-4]
    assert method.choice[0] in (1e-3, 5e-4, 1e-4)


def test_parameters_of_the_prior_may_be_held(members, arrays) -> None:
    held = {"pi": 0.5, "mu": 0.2, "phi": 2.0}
    Flow(max_epochs=1, prior_parameters=held, **HOW).fit(arrays[:2], seed=0)
    prior = members[0][0].member.prior
    assert {name: float(getattr(prior, name).max()) for name in held} == pytest.approx(held)
    with pytest.raises(ValueError, match="sigma"):
        Flow(prior_parameters={"sigma": 1.0})


@pytest.mark.slow
def test_the_epoch_is_the_best_on_the_slides_that_were_passed(members, arrays) -> None:
    """By the same trajectory, so it is at least as good there as any honest choice."""
    how = {"max_epochs": 3, **HOW}
    Flow(**how).fit(arrays[:2], seed=0)
    FlowEpochOnTest(**how).fit(arrays[:2], seed=0, peek=[arrays[2]])
    (honest, _), (peeked, schedule) = members
    assert np.array_equal(honest.history["train_loss"], peeked.history["train_loss"])
    assert schedule.early_stopping == 3 * 32
    assert not np.array_equal(honest.history["val_pearson"], peeked.history["val_pearson"])
    n_best = int(peeked.history["val_pearson"].argmax()) + 1
    FlowEpochOnTest(**{**how, "max_epochs": n_best}).fit(arrays[:2], seed=0, peek=[arrays[2]])
    best = members[2][0].member.denoiser.state_dict()
    for name, weights in peeked.member.denoiser.state_dict().items():
        assert np.array_equal(weights, best[name])


def test_who_peeks_is_marked_and_has_to_be_given_what_to_look_at(arrays) -> None:
    assert [name for name, method in METHODS.items() if method.peeks] == ["flow_epoch_on_test"]
    assert FlowEpochOnTest.__doc__.startswith("NOT A RESULT")
    with pytest.raises(ValueError, match="test slides; pass them as `peek=`"):
        FlowEpochOnTest(**HOW).fit(arrays[:2])
    unknown = replace(arrays[2], expression=None, genes=())
    with pytest.raises(ValueError, match="S3 has no expression"):
        FlowEpochOnTest(**HOW).fit(arrays[:2], peek=[unknown])


def test_an_interrupt_ends_the_fit(arrays, monkeypatch) -> None:
    train = _flow.train_member
    cut = partial(replace, interrupted=True)
    monkeypatch.setattr(_flow, "train_member", lambda *a, **k: cut(train(*a, **k)))
    with pytest.raises(KeyboardInterrupt):
        Flow(max_epochs=1, **HOW).fit(arrays[:2])


@pytest.mark.slow
def test_the_full_model_is_the_one_of_fit(arrays, monkeypatch) -> None:
    seen, fit = [], _network.fit_ensemble
    monkeypatch.setattr(_network, "N_FLOWS", 2)
    monkeypatch.setattr(
        _network, "fit_ensemble", lambda *a, **k: seen.append(fit(*a, **k)) or seen[-1]
    )
    method = FullModel(max_epochs=1, **HOW).fit(arrays[:2], seed=0)
    (fitted,) = seen
    assert len(fitted.ensemble.members) == 1
    predicted = method.predict(arrays[2])
    samples = method.sample(arrays[2], 6, seed=1)
    assert samples.shape == (6, *predicted.shape)
    assert np.abs(samples.mean((0, 1)) - predicted.mean(0)).max() < 0.5
    assert (samples.std(0) > 0).any()
    assert method.residual_sd.shape == (8,)
    with pytest.raises(ValueError, match="`slides` is empty"):
        FullModel().fit([])
    with pytest.raises(RuntimeError, match="not fitted"):
        FullModel().sample(arrays[2], 2)
