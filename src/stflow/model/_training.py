"""The training loop, on lightning; imported inside `fit` only, because lightning loads slowly."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from stflow.flow import make_prior
from stflow.metrics import pearson
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._graph import spot_graph
from stflow.model._network import draw
from stflow.model._regions import Batch, Draws, Regions, TensorSlide

REGIONS_PER_EPOCH = 32
EMA_DECAY = 0.98
VALIDATION_SAMPLES = 4
N_STEPS = 5


class FlowTraining(pl.LightningModule):
    """Trains a denoiser on regions; judges the moving average of its weights on a held-out slide.

    Parameters
    ----------
    denoiser
        The network, trained in place.
    validation
        Held-out spots.
    config, lr, seed
        Hyper-parameters, learning rate of Adam, seed of the validation samples.
    """

    def __init__(
        self, denoiser: Denoiser, validation: TensorSlide, config: Config, lr: float, seed: int
    ) -> None:
        super().__init__()
        self.denoiser, self.config, self.lr, self.seed = denoiser, config, lr, seed
        self.average = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
        self.validation = validation
        self.validation_graph = spot_graph(validation.coords, validation.adjacency)
        self.best_loss, self.best = float("inf"), copy.deepcopy(denoiser.state_dict())
        self.rows: list[dict[str, float]] = []

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean squared error of the predicted end point (equation 2)."""
        y_hat, _ = self.denoiser(batch.noisy, batch.features, batch.t, batch.graph)
        loss = F.mse_loss(y_hat, batch.expression)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(y_hat))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Follow each step of the optimiser with the moving average."""
        self.average.update_parameters(self.denoiser)

    def validation_step(self, batch: Tensor, index: int) -> None:
        """Score the mean of a few samples of the held-out spots."""
        network: Any = self.average.module
        samples, _ = draw(
            network.eval(),
            self.validation.features.to(self.device),
            self.validation_graph.to(self.device),
            self.config,
            n_samples=VALIDATION_SAMPLES,
            n_steps=N_STEPS,
            seed=self.seed,
        )
        mean, measured = samples.mean(0).float().cpu(), self.validation.expression
        scores = pearson(measured.numpy(), mean.numpy())
        defined = scores[np.isfinite(scores)]
        self.log("val_loss", F.mse_loss(mean, measured), batch_size=1)
        self.log("val_pearson", float(defined.mean()) if defined.size else np.nan, batch_size=1)

    def on_train_epoch_end(self) -> None:
        """Note the epoch's figures and keep the weights when they are the best so far."""
        names = ("train_loss", "val_loss", "val_pearson")
        figures = {name: float(self.trainer.callback_metrics[name]) for name in names}
        self.rows.append({"epoch": self.current_epoch, **figures})
        if figures["val_loss"] < self.best_loss:
            self.best_loss = figures["val_loss"]
            self.best = copy.deepcopy(self.average.module.state_dict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.denoiser.parameters(), lr=self.lr)


class EpochBar(Callback):
    """One progress bar over the epochs."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self.bar = tqdm(total=trainer.max_epochs, desc="fit", unit="epoch")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance by one epoch."""
        metrics = trainer.callback_metrics
        self.bar.set_postfix({k: f"{metrics[k]:.3f}" for k in ("train_loss", "val_loss")})
        self.bar.update()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self.bar.close()


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


def train(
    denoiser: Denoiser,
    slides: list[TensorSlide],
    validation: TensorSlide,
    config: Config,
    *,
    max_epochs: int,
    early_stopping: int,
    lr: float,
    batch_size: int,
    num_workers: int,
    seed: int,
    device: torch.device,
    show_progress_bar: bool,
    trainer_kwargs: Mapping[str, Any],
) -> pd.DataFrame:
    """Train a denoiser in place, leave it with its best weights, return the history.

    Parameters
    ----------
    denoiser
        The network to train.
    slides, validation
        Training slides, and the held-out spots that decide when to stop.
    config
        Hyper-parameters.
    max_epochs, early_stopping
        Epochs at most, and epochs without gain after which to stop.
    lr, batch_size, num_workers, seed, device
        Learning rate, regions a step, loader processes, seed, device.
    show_progress_bar
        Show a bar over the epochs.
    trainer_kwargs
        Further arguments of ``lightning.Trainer``.
    """
    prior = make_prior(config.prior, **config.prior_parameters)
    loader = DataLoader(
        Regions(slides, prior, seed),
        batch_size=batch_size,
        sampler=Draws(max(REGIONS_PER_EPOCH, len(slides))),
        collate_fn=Batch.collate,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(seed),
    )
    once: DataLoader[Tensor] = DataLoader(torch.zeros(1))  # type: ignore[arg-type]
    further = dict(trainer_kwargs)
    callbacks = [EarlyStopping("val_loss", patience=early_stopping), *further.pop("callbacks", [])]
    with quiet_lightning():
        module = FlowTraining(denoiser, validation, config, lr, seed)
        trainer = pl.Trainer(
            **{
                "accelerator": "gpu" if device.type == "cuda" else device.type,
                "devices": [device.index or 0] if device.type == "cuda" else 1,
                "max_epochs": max_epochs,
                "gradient_clip_val": 1.0,
                "callbacks": callbacks + [EpochBar()] * show_progress_bar,
                "logger": False,
                "enable_checkpointing": False,
                "enable_model_summary": False,
                "enable_progress_bar": False,
                "num_sanity_val_steps": 0,
                **further,
            }
        )
        trainer.fit(module, loader, once)
    denoiser.load_state_dict(module.best)
    return pd.DataFrame(module.rows)
