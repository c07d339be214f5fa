from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import square, tensor_slide

from stflow._schedule import Schedule
from stflow.model._config import Config
from stflow.model._features import Features
from stflow.model.training._crops import TensorSlide
from stflow.model.training._member import Trained, train_member

SCHEDULE = Schedule(max_epochs=6, early_stopping=16, lr=1e-2, batch_size=4)
QUIET = {"show_progress_bar": False, "trainer_kwargs": {}, "label": ""}
HOW = {"seed": 0, "device": torch.device("cpu"), "features": Features(4, 2), **QUIET}


def make_slide(seed: int, side: int = 8) -> TensorSlide:
    rng = np.random.default_rng(seed)
    features = torch.tensor(rng.normal(size=(side**2, 4)), dtype=torch.float32)
    noise = torch.tensor(rng.normal(size=(side**2, 2)), dtype=torch.float32)
    return tensor_slide(square(side), features, 2 + features[:, :2] + noise)


def train(held_out: TensorSlide, *, in_halves: bool = True) -> Trained:
    how = {**HOW, "in_halves": in_halves}
    config = Config(hidden=16, n_layers=1, n_heads=2, prior="zero")
    return train_member([make_slide(1)], [held_out], config, SCHEDULE, **how)


def shuffled(slide: TensorSlide, half: int) -> TensorSlide:
    """Other expression on one half of a slide."""
    here = torch.from_numpy(np.flatnonzero(slide.halves() == half))
    expression = slide.expression.clone()
    expression[here] = expression[here.flip(0)] + 3
    return replace(slide, expression=expression)


def same(one, two) -> bool:
    states = one.denoiser.state_dict(), two.denoiser.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_weights_that_one_half_stops_know_nothing_of_the_other() -> None:
    """Negative control: those that all spots stop do, and those of the half that changed."""
    held_out = make_slide(2)
    found = train(held_out)
    for half in (0, 1):
        other = train(shuffled(held_out, half))
        assert same(found.by_half[1 - half], other.by_half[1 - half])
        assert list(found.history["val_loss"]) != list(other.history["val_loss"])
        column = f"val_loss_{half}"
        assert list(found.history[column])[:3] != list(other.history[column])[:3]


def test_slides_are_let_go_when_a_flow_is_trained() -> None:
    """Without waiting for the collector: of half a million cells they are a gigabyte."""
    config = Config(hidden=16, n_layers=1, n_heads=2, prior="zero")
    kept = [make_slide(1)]
    held = weakref.ref(kept[0].expression)
    gc.disable()
    try:
        trained = train_member(kept, [make_slide(2)], config, SCHEDULE, **HOW)
        assert held() is not None
        del kept
        assert held() is None
    finally:
        gc.enable()
    assert len(trained.history)


def test_halves_change_nothing_of_the_flow_itself() -> None:
    with_halves, without = train(make_slide(2)), train(make_slide(2), in_halves=False)
    assert same(with_halves.member, without.member)
    assert without.by_half == ()
    n_epochs = len(without.history)
    assert len(with_halves.history) >= n_epochs
    both = (each.history["val_loss"][:n_epochs] for each in (with_halves, without))
    np.testing.assert_array_equal(*both)


def test_each_judge_keeps_its_own_best_epoch() -> None:
    """A half that training makes worse keeps the first weights, the other later ones."""
    held_out = make_slide(2)
    first = torch.from_numpy(held_out.halves() == 0)[:, None]
    turned = torch.where(first, 4 - held_out.expression, held_out.expression)
    found = train(replace(held_out, expression=turned))
    best = [int(found.history[f"val_loss_{half}"].argmin()) for half in (0, 1)]
    assert best[0] == 0 < best[1]
    assert not same(*found.by_half)


@pytest.mark.parametrize("n_spots", [4, 6])
def test_too_few_spots_have_no_halves(n_spots: int) -> None:
    held_out = make_slide(2).subset(np.arange(n_spots))
    assert train(held_out).by_half == ()


def test_a_spot_without_weight_teaches_nothing() -> None:
    """Negative control: with its weight it does."""
    slide = make_slide(1)
    odd = slide.expression.clone()
    odd[:8] += 9
    weights = torch.ones(slide.n_spots)
    weights[:8] = 0
    config = Config(hidden=16, n_layers=1, n_heads=2, prior="zero", flow=False)
    losses = []
    for version in (slide, replace(slide, expression=odd)):
        kept = [replace(version, weights=weights)]
        first = train_member(kept, [make_slide(2)], config, Schedule(max_epochs=1), **HOW)
        losses.append(first.history["train_loss"][0])
    loud = train_member(
        [replace(slide, expression=odd)], [make_slide(2)], config, Schedule(max_epochs=1), **HOW
    )
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert loud.history["train_loss"][0] > 2 * losses[1]
