"""Manners of lightning: quiet, one progress bar, and an interrupt that ends no process."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from tqdm.auto import tqdm


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
        self.bar.set_postfix({k: f"{metrics[k]:.3f}" for k in ("train_loss", "val_loss")})
        self.bar.update()


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


def start_at(trainer: pl.Trainer, epoch: int) -> None:
    """Let a new trainer count its epochs from here."""
    done = dict.fromkeys(("ready", "started", "processed", "completed"), epoch)
    trainer.fit_loop.epoch_progress.current.load_state_dict(done)


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
