"""Processes that train a flow together: two, on the CPU, by gloo, forked so that they are cheap."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from support import square, tensor_slide

from stflow._runs import RunFolder
from stflow._schedule import Schedule
from stflow.flow import make_prior
from stflow.model._config import Config
from stflow.model.denoiser import Denoiser
from stflow.model.training import FlowState, _loop
from stflow.model.training._together import SharedTraining

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks processes that use torch"),
]

TWO = {"strategy": "ddp_fork", "devices": 2, "accelerator": "cpu"}
ALONE: dict = {}
# 9 draws of 3 slides in steps of 4: the last step has a crop for one process alone
SIDES, BATCH = (5, 7, 9), 4


@pytest.fixture(autouse=True)
def _hear_ctrl_c():
    """Python's own handler, which a process started in the background has not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _uneven_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loop, "draws_in_epoch", lambda slides: 9)


def make_slide(side: int, seed: int):
    generator, n = torch.Generator().manual_seed(seed), side**2
    features, counts = (torch.rand(n, 2, generator=generator) for _ in range(2))
    return tensor_slide(square(side), features, (5 * counts).round().log1p())


def train(kwargs: dict, *callbacks: Callback, path: Path | None = None, **how):
    """History, whether cut short, and the weights that are left."""
    schedule = Schedule(
        how.get("max_epochs", 4), how.get("patience", 99), how.get("lr", 1e-3), BATCH
    )
    torch.manual_seed(0)
    config = Config(hidden=16, n_layers=2, n_heads=2, dropout=how.get("dropout", 0.0))
    denoiser = Denoiser(2, 2, config)
    history, interrupted, _ = _loop.train(
        denoiser,
        [make_slide(side, side) for side in SIDES],
        [make_slide(6, 99)],
        make_prior("zero", n_genes=2),
        schedule,
        seed=0,
        device=torch.device("cpu"),
        show_progress_bar=how.get("show_progress_bar", False),
        label="fit",
        trainer_kwargs={**kwargs, "callbacks": list(callbacks)},
        saved=None if path is None else FlowState.read(RunFolder(path, "fit", "resume"), 0),
        in_halves=True,
    )
    return history, interrupted, denoiser.state_dict()


def equal(one: dict, two: dict) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


class Gradients(Callback):
    """Leave the gradients of each step in a file, as the optimiser takes them."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        found = [weights.grad.flatten().clone() for weights in pl_module.denoiser.parameters()]
        self.found.append(torch.cat(found))

    def on_train_end(self, trainer, pl_module) -> None:
        if trainer.is_global_zero:
            torch.save(torch.stack(self.found), self.path)

    @classmethod
    def of(cls, kwargs: dict, path: Path) -> torch.Tensor:
        train({**kwargs, "gradient_clip_val": None}, cls(path), max_epochs=1, lr=1e-20)
        return torch.load(path, weights_only=True)


def apart(one: torch.Tensor, two: torch.Tensor) -> float:
    """Largest relative distance of the gradients of a step."""
    return float(((one - two).norm(dim=1) / two.norm(dim=1)).max())


def test_gradients_are_those_of_one_process(tmp_path, monkeypatch) -> None:
    alone = Gradients.of(ALONE, tmp_path / "alone")
    together = Gradients.of(TWO, tmp_path / "together")
    assert alone.shape == together.shape == (3, alone.shape[1])
    assert apart(together, alone) < 1e-5
    weighted = SharedTraining.over_all
    monkeypatch.setattr(SharedTraining, "over_all", lambda *given: (*weighted(*given)[:2], 1.0))
    control = Gradients.of(TWO, tmp_path / "control")
    assert apart(control, alone) > 0.05


def test_figures_weights_and_the_end_are_those_of_one_process() -> None:
    """Dropout aside; patience ends it, in all processes after the same epoch."""
    how = {"lr": 0.2, "patience": 3, "max_epochs": 12}
    (alone, _, weights), (together, interrupted, found) = train(ALONE, **how), train(TWO, **how)
    assert not interrupted
    assert 1 < len(together) < 12
    pd.testing.assert_frame_equal(together, alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found, weights, rtol=1e-3, atol=1e-4)


class Draws(Callback):
    """Leave in a file how many spots a process reads."""

    def __init__(self, path: Path) -> None:
        self.path, self.drawn = path, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.drawn.append(batch.expression.sum().item())

    def on_train_end(self, trainer, pl_module) -> None:
        torch.save(self.drawn, self.path / str(trainer.global_rank))


def test_crops_are_drawn_once(tmp_path) -> None:
    train(TWO, Draws(tmp_path), max_epochs=1)
    first, second = (torch.load(tmp_path / rank, weights_only=True) for rank in "01")
    (tmp_path / "0").rename(tmp_path / "together")
    train(ALONE, Draws(tmp_path), max_epochs=1)
    alone = torch.load(tmp_path / "0", weights_only=True)
    pairs = zip(first[:-1], second[:-1], strict=True)
    assert [one + two for one, two in pairs] == pytest.approx(alone[:-1])
    assert first[-1] == second[-1] == alone[-1]  # the second process was left without


class Stop(Callback):
    """Send a signal in the middle of an epoch, in one process, to it or to those it comes from."""

    def __init__(self, epoch: int, number: int, *, rank: int, to: str) -> None:
        self.epoch, self.number, self.rank, self.to = epoch, number, rank, to

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (self.epoch, 1, self.rank):
            os.kill(os.getpid() if self.to == "self" else os.getppid(), self.number)


@pytest.fixture(scope="module")
def whole():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_loop, "draws_in_epoch", lambda slides: 9)
        return train(TWO, dropout=0.2)


@pytest.mark.parametrize("to", ["parent", "self"])
def test_ctrl_c_ends_all_and_the_state_stays(whole, tmp_path, to) -> None:
    stop = Stop(2, signal.SIGINT, rank=1, to=to)
    history, interrupted, _ = train(TWO, stop, path=tmp_path, dropout=0.2)
    assert interrupted
    assert list(history["epoch"]) == [0, 1]
    resumed, interrupted, weights = train(TWO, path=tmp_path, dropout=0.2)
    assert not interrupted
    pd.testing.assert_frame_equal(resumed, whole[0], check_exact=True)
    assert equal(weights, whole[2])


def test_ctrl_c_without_a_folder_leaves_the_best_so_far() -> None:
    history, interrupted, weights = train(TWO, Stop(2, signal.SIGINT, rank=0, to="parent"))
    assert interrupted
    assert equal(weights, train(TWO, max_epochs=2)[2])
    assert len(history) == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_ends_it_and_the_state_stays(whole, tmp_path, rank) -> None:
    kill = Stop(2, signal.SIGKILL, rank=rank, to="self")
    message = rf"A process that trained ended .*The same call with `resume='{tmp_path}'` resumes it"
    with pytest.raises(RuntimeError, match=message):
        train(TWO, kill, path=tmp_path, dropout=0.2)
    resumed, _, weights = train(TWO, path=tmp_path, dropout=0.2)
    pd.testing.assert_frame_equal(resumed, whole[0], check_exact=True)
    assert equal(weights, whole[2])


def test_one_process_that_others_start_loses_nothing(tmp_path) -> None:
    (alone, _, weights), (found, _, theirs) = train(ALONE), train({**TWO, "devices": 1})
    pd.testing.assert_frame_equal(found, alone, check_exact=True)
    assert equal(theirs, weights)


def test_low_precision() -> None:
    low = {"precision": "bf16-mixed"}
    (alone, *_), (together, *_) = train({**ALONE, **low}), train({**TWO, **low})
    pd.testing.assert_frame_equal(together, alone, rtol=0.05)
    assert not together["val_loss"].equals(train(ALONE)[0]["val_loss"])


def test_the_bar_is_shown_by_who_started_them(capfd) -> None:
    train(TWO, show_progress_bar=True, max_epochs=2)
    shown = capfd.readouterr().err
    assert "2/2" in shown
    assert "val_loss=" in shown
    assert shown.endswith("\n")
    assert shown.count("\n") == 1
