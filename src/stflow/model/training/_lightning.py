"""Manners of lightning: quiet, one bar, one process, and an interrupt that ends none."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import ClusterEnvironment, LightningEnvironment
from lightning.pytorch.utilities import rank_zero_only
from tqdm.auto import tqdm

from stflow.model.training._board import SHOWN, Board
from stflow.model.training._plan import FlowTraining
from stflow.model.training._state import FlowState


class EpochBar(Callback):
    """Advance a progress bar by one for each epoch.

    Parameters
    ----------
    bar
        The bar, which stays its owner's to close.
    """

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance by one epoch."""
        metrics = trainer.callback_metrics
        known = [name for name in SHOWN if name in metrics]
        self.bar.set_postfix({name: f"{metrics[name]:.3f}" for name in known})
        self.bar.update()


class Follow(Callback):
    """Tell a board of the epochs of a flow, and stop when it says so.

    Parameters
    ----------
    board, flow
        The board, and the number of the flow.
    """

    def __init__(self, board: Board, flow: int) -> None:
        self.board, self.flow = board, flow

    def on_train_batch_start(self, *_: Any) -> None:
        """Stop as Ctrl-C does."""
        if self.board.asked_to_stop:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell of one more epoch."""
        metrics = trainer.callback_metrics
        self.board.note(self.flow, {name: float(metrics[name]) for name in metrics})


class KeepInterrupts(Callback):
    """Hear a second Ctrl-C: lightning ignores the signal from the first one on."""

    def __init__(self) -> None:
        self.handler = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Put the handler back that was there before training."""
        if isinstance(exception, KeyboardInterrupt):
            signal.signal(signal.SIGINT, self.handler)


class OneProcess(LightningEnvironment):
    """A process on its own, whatever a scheduler's or a launcher's variables say of others."""

    @property
    def creates_processes_externally(self) -> bool:
        """Whether somebody else starts processes."""
        return False

    def local_rank(self) -> int:
        """Rank on this machine."""
        return 0

    def node_rank(self) -> int:
        """Rank of this machine."""
        return 0

    def teardown(self) -> None:
        """Leave the variables as they are."""


def one_process(further: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a trainer on one device, or none where ``further`` asks for more than that."""
    given = further.get("plugins") or []
    plugins = list(given) if isinstance(given, list | tuple | set) else [given]
    devices = further.get("devices", 1)
    several = {"strategy", "num_nodes"} & further.keys() or not (
        devices in (1, "1") or (isinstance(devices, list | tuple) and len(devices) == 1)
    )
    if several or any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        return {}
    return {"strategy": "auto", "num_nodes": 1, "plugins": [*plugins, OneProcess()]}


def is_alone(trainer: pl.Trainer) -> bool:
    """Whether a trainer works in this process and no other."""
    return trainer.world_size == 1 and trainer.strategy.launcher is None


@contextmanager
def first_rank(trainer: pl.Trainer) -> Iterator[None]:
    """Let a process that trains alone be the one that logs and speaks."""
    first: Any = rank_zero_only
    rank = first.rank
    try:
        if trainer.world_size == 1:
            first.rank = 0
        yield
    finally:
        first.rank = rank


def start_at(trainer: pl.Trainer, epoch: int) -> None:
    """Let a new trainer count its epochs from here."""
    done = dict.fromkeys(("ready", "started", "processed", "completed"), epoch)
    trainer.fit_loop.epoch_progress.current.load_state_dict(done)


def run_alone(
    trainer: pl.Trainer,
    make: Callable[..., FlowTraining],
    saved: FlowState | None,
    *loaders: Any,
    bar: Mapping[str, Any],
) -> tuple[FlowTraining, bool]:
    """Train in this process; return what was trained, and whether Ctrl-C cut it short."""
    module = make(saved=saved)
    done = len(module.rows)
    with tqdm(total=trainer.max_epochs, initial=done, **bar) as shown, first_rank(trainer):
        start_at(trainer, done)
        trainer.callbacks.insert(1, EpochBar(shown))  # type: ignore[attr-defined]
        return module, fit_or_interrupt(trainer, module, *loaders)


def fit_or_interrupt(trainer: pl.Trainer, *what: Any) -> bool:
    """Run ``trainer.fit``; return whether Ctrl-C cut it short.

    On a KeyboardInterrupt lightning tears down and then ends the process with a SystemExit. A
    second Ctrl-C while it tears down is raised as it is.
    """
    try:
        trainer.fit(*what)
    except SystemExit as leaving:
        if not isinstance(leaving.__context__, KeyboardInterrupt):
            raise
        return True
    return False


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence what lightning says of devices, loggers and workers."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
