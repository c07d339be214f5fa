"""The training loop, on lightning; imported inside `fit` only, because lightning loads slowly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader

from stflow._schedule import Schedule
from stflow.flow import Prior
from stflow.model.denoiser import Denoiser
from stflow.model.training._board import Board
from stflow.model.training._crops import (
    Batch,
    Crops,
    Draws,
    Shares,
    TensorSlide,
    draws_in_epoch,
)
from stflow.model.training._lightning import (
    Follow,
    KeepInterrupts,
    is_alone,
    one_process,
    quiet_lightning,
    run_alone,
)
from stflow.model.training._plan import FlowTraining
from stflow.model.training._state import FlowState
from stflow.model.training._together import SharedTraining, run_together


def train(
    denoiser: Denoiser,
    slides: list[TensorSlide],
    validation: list[TensorSlide],
    prior: Prior,
    schedule: Schedule,
    *,
    seed: int,
    device: torch.device,
    show_progress_bar: bool,
    label: str,
    trainer_kwargs: Mapping[str, Any],
    saved: FlowState | None = None,
    follow: tuple[Board, int] | None = None,
    judged_by: str = "val_loss",
    in_halves: bool = False,
) -> tuple[pd.DataFrame, bool, list[dict[str, Tensor]]]:
    """Train a denoiser in place, and leave it with its best weights.

    Parameters
    ----------
    denoiser
        The network to train.
    slides, validation
        Training slides, and the held-out ones that decide when to stop; without any, training goes
        on to the end.
    prior
        Where the flow starts.
    schedule
        How long and how fast.
    seed, device
        Seed of all draws, and where to train.
    show_progress_bar, label
        Show a bar over the epochs, and what stands in front of it.
    trainer_kwargs
        Further arguments of ``lightning.Trainer``.
    saved
        Where to leave the state after each epoch, and to take it from; None: nowhere.
    follow
        A board to tell of each epoch, and the number under which; None: there is none.
    judged_by
        Which figure says what epoch is best: ``"val_loss"`` or ``"val_pearson"``.
    in_halves
        Whether each half of the held-out spots says so, too.

    Returns
    -------
    The history, one row an epoch, whether Ctrl-C cut it short, and the weights that are best by
    each half, where there are halves.

    Raises
    ------
    FloatingPointError
        No epoch had a finite loss.
    """
    callbacks: list[Callback] = [] if follow is None else [Follow(*follow)]
    bar = {"desc": label, "unit": "epoch", "disable": not show_progress_bar}
    with quiet_lightning():
        trainer = make_trainer(device, schedule.max_epochs, callbacks, trainer_kwargs)
        alone = is_alone(trainer)
        crops = Crops(slides, prior, seed, flow=denoiser.flow)
        loaders = _loaders(crops, schedule, trainer, seed)
        make = partial(
            FlowTraining if alone else SharedTraining,
            denoiser,
            validation,
            prior,
            lr=schedule.lr,
            seed=seed,
            patience=math.ceil(schedule.early_stopping / len(loaders[0])),
            judged_by=judged_by,
            in_halves=in_halves,
            fused=device.type == "cpu" and not {"precision", "plugins"} & trainer_kwargs.keys(),
        )
        run = run_alone if alone else run_together
        module, interrupted = run(trainer, make, saved, *loaders[: 1 + bool(validation)], bar=bar)
    crops.slides, crops.trees = [], []  # the trainer holds them until cycles are collected
    _require_finite(module.rows, schedule.lr)
    best, *by_half = module.best.values()
    denoiser.load_state_dict(best)
    return pd.DataFrame(module.rows), interrupted, by_half


def _loaders(
    crops: Crops, schedule: Schedule, trainer: pl.Trainer, seed: int
) -> tuple[DataLoader, DataLoader]:
    """Make what gives an epoch's crops, and what says once that it is time to judge."""
    draws = Draws(draws_in_epoch(crops.slides))
    loader = DataLoader(
        crops,
        batch_sampler=Shares(draws, schedule.batch_size, trainer),
        collate_fn=Batch.collate,
        generator=torch.Generator().manual_seed(seed),
    )
    once: DataLoader[Tensor] = DataLoader(torch.zeros(1))  # type: ignore[arg-type]
    return loader, once


def _require_finite(rows: list[dict[str, float]], lr: float) -> None:
    if rows and not np.isfinite([row.get("val_loss", row["train_loss"]) for row in rows]).any():
        raise FloatingPointError(
            f"Training diverged in its first epoch: the loss is {rows[0]['train_loss']}. Lower "
            f"`lr` (now {lr:g})."
        )


def make_trainer(
    device: torch.device,
    max_epochs: int,
    callbacks: list[Callback],
    trainer_kwargs: Mapping[str, Any],
) -> pl.Trainer:
    """Set up lightning, quiet; ``trainer_kwargs`` have the last word.

    On one device it takes no notice of variables that schedulers and launchers set.
    """
    further = dict(trainer_kwargs)
    return pl.Trainer(
        **{
            "accelerator": "gpu" if device.type == "cuda" else device.type,
            "devices": [device.index or 0] if device.type == "cuda" else 1,
            "max_epochs": max_epochs,
            "gradient_clip_val": 1.0,
            "callbacks": [KeepInterrupts(), *callbacks, *further.pop("callbacks", [])],
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "num_sanity_val_steps": 0,
            "use_distributed_sampler": False,
            **further,
            **one_process(further),
        }
    )
