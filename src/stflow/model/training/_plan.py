"""What lightning trains: loss, validation, best weights, when to stop, and the state of it all."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stflow._random import seed_torch, spawn_seeds
from stflow.flow import Prior
from stflow.metrics import pearson
from stflow.model.denoiser import Denoiser, SlideSampler, draws
from stflow.model.training._crops import Batch, TensorSlide
from stflow.model.training._state import FlowState

EMA_DECAY = 0.98
VALIDATION_SAMPLES, MAX_VALIDATION = 2, 1024
HALVES = ("val_loss_0", "val_loss_1")


def weighted_error(predicted: Tensor, measured: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error over spots and genes (N, G), each spot by its weight (N,)."""
    return ((predicted - measured).square().mean(1) * weights).mean()


def move_average(averaged: Any, current: Any, n_averaged: Any) -> None:
    """Move averages towards what they are of; by a name, so that other processes know it."""
    get_ema_multi_avg_fn(EMA_DECAY)(averaged, current, n_averaged)


class FlowTraining(pl.LightningModule):
    """Trains a denoiser on crops; judges the moving average of its weights on held-out slides.

    Parameters
    ----------
    denoiser
        The network, trained in place.
    validation
        Held-out slides; in all ``MAX_VALIDATION`` spots in their middles are looked at. Without
        any, the weights of the last epoch are the best.
    prior
        Where the flow starts.
    lr, seed
        Learning rate of Adam, seed of dropout and of the validation samples.
    patience
        Epochs without gain after which to stop.
    saved
        Where to leave the state after each epoch, and to take it from; None: nowhere.
    judged_by
        Which figure says what epoch is best: ``"val_loss"`` or ``"val_pearson"``.
    in_halves
        Whether each half of the held-out spots is a judge of its own as well, so that weights are
        known that the other half had no say in; training then goes on until no judge sees a gain.
    fused
        Whether Adam moves all weights at once: four times as fast on the CPU. Where precision is
        mixed, lightning clips no gradients for it.

    Attributes
    ----------
    best
        Weights of the best epoch, by judge: ``judged_by``, and the `HALVES` where there are any;
        ``"last"`` where there is no judge.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        validation: list[TensorSlide],
        prior: Prior,
        *,
        lr: float,
        seed: int,
        patience: int,
        saved: FlowState | None,
        judged_by: str = "val_loss",
        in_halves: bool = False,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.denoiser, self.lr, self.seed = denoiser, lr, seed
        self.prior = copy.deepcopy(prior)
        self.average = AveragedModel(denoiser, multi_avg_fn=move_average).requires_grad_(False)
        rows = [slide.middle(MAX_VALIDATION // len(validation)) for slide in validation]
        pairs = list(zip(validation, rows, strict=True))
        self.validation = [slide.subset(some) for slide, some in pairs]
        none = torch.empty(0)
        half = torch.cat([none, *(torch.from_numpy(s.halves()[some]) for s, some in pairs)])
        self.halves = [half == 0, half == 1]
        in_halves &= all(bool(half.any()) for half in self.halves)
        self.patience, self.saved = patience, saved
        self.figures = ("val_loss", "val_pearson") if validation else ()
        self.judges = (judged_by, *(HALVES if in_halves else ())) if validation else ()
        first = copy.deepcopy(denoiser.state_dict())
        self.best = dict.fromkeys(self.judges or ("last",), first)
        self.rows: list[dict[str, float]] = []
        self.adam = torch.optim.Adam(denoiser.parameters(), lr=lr, fused=fused)
        if saved is not None and saved.rows:
            self.restore(saved)

    def state(self) -> dict[str, Tensor]:
        """All tensors that decide how training goes on; there is no random state among them."""
        adam = self.adam.state_dict()["state"]
        parts = {"module": self.state_dict()}
        parts |= {f"best.{judge}": weights for judge, weights in self.best.items()}
        parts |= {f"adam.{index}": of_parameter for index, of_parameter in adam.items()}
        return {
            f"{part}/{name}": tensors[name] for part, tensors in parts.items() for name in tensors
        }

    def restore(self, saved: FlowState) -> None:
        """Take up a state that was saved.

        Raises
        ------
        ValueError
            It holds the tensors of another network.
        """
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in saved.tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        try:
            self.load_state_dict(parts.pop("module"))
            self.best = {judge: parts.pop(f"best.{judge}") for judge in self.best}
            self.rows = list(saved.rows)
            adam = {int(part.removeprefix("adam.")): state for part, state in parts.items()}
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{saved.file} holds another network, perhaps that of another version of stflow. "
                f"{saved.folder.anew}"
            ) from error
        self.adam.load_state_dict({**self.adam.state_dict(), "state": adam})

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean squared error of the predicted end point (equation 2), each spot by its weight."""
        y_hat, _ = self.denoiser(batch.noisy, batch.features, batch.t, batch.graph)
        loss = weighted_error(y_hat, batch.expression, batch.weights)
        mean, n_spots, share = self.over_all(loss, len(y_hat), index)
        self.log("train_loss", mean, on_step=False, on_epoch=True, batch_size=n_spots)
        return loss * share

    def over_all(self, loss: Tensor, n_spots: int, index: int) -> tuple[Tensor, int, float]:
        """Loss and spots of a step over all processes, and by how much this one's counts."""
        return loss, n_spots, 1.0

    def on_train_batch_end(self, *_: Any) -> None:
        """Follow each step of the optimiser with the moving average."""
        self.average.update_parameters(self.denoiser)

    def validation_step(self, batch: Tensor, index: int) -> None:
        """Score what the network expects of the held-out spots at time 0."""
        network: Any = self.average.module
        mean = torch.cat([self._predict(network, slide) for slide in self.validation])
        measured = torch.cat([slide.expression for slide in self.validation])
        weights = torch.cat([slide.weights for slide in self.validation])
        scores = pearson(measured.numpy(), mean.numpy())
        defined = scores[np.isfinite(scores)]
        figures = {"val_loss": weighted_error(mean, measured, weights)}
        figures["val_pearson"] = torch.tensor(defined.mean() if defined.size else np.nan)
        for name, half in zip(HALVES, self.halves, strict=True):
            figures[name] = weighted_error(mean[half], measured[half], weights[half])
        for name, figure in figures.items():
            self.log(name, figure.float(), batch_size=1, sync_dist=True)

    def _predict(self, network: Any, slide: TensorSlide) -> Tensor:
        sampler = SlideSampler(
            network, *slide.inputs, device=self.device, n_samples=VALIDATION_SAMPLES
        )
        seeds = spawn_seeds(self.seed, VALIDATION_SAMPLES)
        return torch.cat(list(draws(sampler, self.prior, seeds=seeds, n_steps=1))).mean(0)

    def on_train_start(self) -> None:
        """Train no more when what was saved had come to its end."""
        self.trainer.should_stop |= self._without_gain()

    def on_train_epoch_start(self) -> None:
        """Give each epoch a seed of its own, so that what was drawn before need not be known."""
        words = np.random.SeedSequence((self.seed, self.current_epoch)).generate_state(1, np.uint64)
        seed_torch(int(words[0] >> 1), self.device)

    def on_train_epoch_end(self) -> None:
        """Note the epoch's figures, keep the weights when they are the best so far, and save."""
        names = ("train_loss", *self.figures, *self.judges)
        figures = {name: float(self.trainer.callback_metrics[name]) for name in names}
        n_steps = (self.current_epoch + 1) * int(self.trainer.num_training_batches)
        self.rows.append({"epoch": self.current_epoch, "step": n_steps, **figures})
        for judge in self.best:
            if judge == "last" or (np.isfinite(figures[judge]) and self._waited(judge) == 0):
                self.best[judge] = copy.deepcopy(self.average.module.state_dict())
        self.trainer.should_stop |= self._without_gain()
        self.save()

    def save(self) -> None:
        """Leave the state on disk, if anywhere."""
        if self.saved is not None:
            self.saved.write(self.state(), self.rows)

    def _without_gain(self) -> bool:
        """Whether the last epochs brought nothing to any judge: known from the history alone."""
        figure = self.figures[0] if self.figures else "train_loss"
        diverged = not all(np.isfinite(row[figure]) for row in self.rows[-1:])
        waited = [self._waited(judge) >= self.patience for judge in self.judges]
        return diverged or (bool(waited) and all(waited))

    def _waited(self, judge: str) -> int:
        """Count the epochs since the best one, before the judge had waited long enough."""
        sign = -1.0 if judge == "val_pearson" else 1.0
        best, since = np.inf, 0
        for row in self.rows:
            figure = np.nan_to_num(sign * row[judge], nan=np.inf)
            if since < self.patience:
                best, since = (figure, 0) if figure < best else (best, since + 1)
            else:
                since += 1
        return max(since - (best == np.inf), 0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return self.adam
