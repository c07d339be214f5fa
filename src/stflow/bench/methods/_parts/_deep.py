"""The loop that all published networks train in: Adam, clipped, stopped on a slide left out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stflow._device import resolve_device
from stflow._random import isolated_rng
from stflow._schedule import Schedule
from stflow.baselines import Choice, Predictor, gene_weights
from stflow.bench.methods._method import Published
from stflow.slide import Slide

LR, RATES = 5e-4, (1e-3, 5e-4, 1e-4)
CLIP = 1.0


class Training(ABC):
    """A network, what it is trained on, and how it predicts.

    Attributes
    ----------
    network
        Trained in place.
    """

    network: nn.Module

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """Give the batches of one epoch, on the network's device."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Compute what a step makes smaller."""

    @abstractmethod
    def predict(self, slide: Slide) -> np.ndarray:
        """Predict expression (N, G) of a slide; called in evaluation mode, without gradients."""


class Deep(Published):
    """A published network. ``choice`` is the learning rate and the number of epochs.

    The last training slide (or a block of the only one) is left out to choose both; the network
    is then trained on all of them for as many epochs. Adam, gradients clipped to norm 1, at most
    100 epochs, rate 5e-4 (protocol ``"hest"``) or among 1e-3, 5e-4 and 1e-4 (``"nested"``):
    appendix A of the preprint. It stops by the rule of `stf.tl.fit`, after 128 steps without
    gain, here looked for after each epoch.
    """

    cheap, trains = False, True

    @abstractmethod
    def _setup(self, slides: list[Slide], seed: int, device: torch.device) -> Training:
        """Build the untrained network; called with torch's generators seeded."""

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        weights = gene_weights([*rest, held_out])
        for rate in (LR,) if self.protocol == "hest" else RATES:
            best, waited = np.inf, 0
            for epoch, (n_steps, predictor) in enumerate(self._epochs(rest, rate, seed), 1):
                predicted = predictor(held_out)
                yield (rate, epoch), predicted
                error = np.square(predicted - held_out.expression).sum(0) @ weights
                best, waited = (error, 0) if error < best else (best, waited + n_steps)
                if waited >= Schedule.early_stopping:
                    break

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        rate, n_epochs = choice
        *_, (_, last) = islice(self._epochs(slides, rate, seed), int(n_epochs))
        return last

    def _epochs(
        self, slides: list[Slide], rate: float, seed: int
    ) -> Iterator[tuple[int, Predictor]]:
        """Train, giving each epoch's steps and a predictor that is good until the next."""
        device = resolve_device(self.device)
        with isolated_rng(seed, device):
            training = self._setup(slides, seed, device)
        network = training.network.to(device)

        def predictor(slide: Slide) -> np.ndarray:
            network.eval()
            with torch.inference_mode():
                return training.predict(slide)

        adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], rate)
        for epoch in range(self.max_epochs or Schedule.max_epochs):
            network.train()
            with isolated_rng(seed + epoch + 1, device):
                n_steps = 0
                for batch in training.batches(np.random.default_rng((seed, epoch))):
                    adam.zero_grad()
                    training.loss(batch).backward()
                    nn.utils.clip_grad_norm_(network.parameters(), CLIP)
                    adam.step()
                    n_steps += 1
            yield n_steps, predictor


def start_from(last: nn.Linear, slides: list[Slide]) -> None:
    """Make an untrained last layer answer with the mean expression of the training spots."""
    mean = np.concatenate([np.asarray(slide.expression) for slide in slides]).mean(0)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.from_numpy(mean))
