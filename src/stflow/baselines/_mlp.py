"""A perceptron on single spots, stopped where spots left out say. Slides and tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from stflow._random import isolated_rng
from stflow.baselines._baseline import Baseline, Choice, Predictor
from stflow.baselines._components import Components, training_rows
from stflow.slide import Slide

N_COMPONENTS, HIDDEN, DROPOUT = 128, 256, 0.5
LR, WEIGHT_DECAY, BATCH, MAX_EPOCHS = 1e-3, 0.1, 64, 100
CPU = torch.device("cpu")


class MLP(Baseline):
    """Two hidden layers on principal components, with dropout and weight decay.

    ``choice`` is the number of epochs: the best on slides left out, and then as many on all.
    """

    def candidates(
        self, rest: list[Slide], held_out: Slide, seed: int
    ) -> Iterable[tuple[Choice, np.ndarray]]:
        epochs = train(rest, MAX_EPOCHS, seed)
        return (((epoch,), predictor(held_out)) for epoch, predictor in enumerate(epochs, 1))

    def learn(self, slides: list[Slide], choice: Choice, seed: int) -> Predictor:
        *_, last = train(slides, int(choice[0]), seed)
        return last


def train(slides: list[Slide], n_epochs: int, seed: int) -> Iterator[Predictor]:
    """Train, giving a predictor after each epoch that is good until the next."""
    embedding, expression = training_rows(slides, seed)
    components = Components.fit(embedding, N_COMPONENTS, seed)
    reduced = components.transform(embedding)
    unit = max(float(reduced.std()), 1e-12)
    inputs, y = torch.from_numpy(reduced / unit), torch.from_numpy(np.asarray(expression))
    mean, scale = y.mean(0), y.std(0).clamp(min=1e-6)
    targets = (y - mean) / scale
    with isolated_rng(seed, CPU):
        network = build(inputs.shape[1], targets.shape[1])

    @torch.inference_mode()
    def predictor(slide: Slide) -> np.ndarray:
        network.eval()
        reduced = torch.from_numpy(components.transform(slide.embedding) / unit)
        return (network(reduced) * scale + mean).numpy()

    optimiser = torch.optim.AdamW(network.parameters(), LR, weight_decay=WEIGHT_DECAY)
    for epoch in range(n_epochs):
        with isolated_rng(seed + epoch + 1, CPU):
            run_epoch(network, optimiser, inputs, targets)
        yield predictor


def build(n_inputs: int, n_genes: int) -> nn.Sequential:
    """Build the network; it starts from the mean."""
    layers: list[nn.Module] = [nn.Dropout(DROPOUT / 2)]
    for width in (n_inputs, HIDDEN):
        layers += [nn.Linear(width, HIDDEN), nn.SiLU(), nn.Dropout(DROPOUT)]
    last = nn.Linear(HIDDEN, n_genes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def run_epoch(
    network: nn.Module, optimiser: torch.optim.Optimizer, inputs: Tensor, targets: Tensor
) -> None:
    """See every spot once, in random order."""
    network.train()
    for spots in torch.randperm(len(inputs)).split(BATCH):
        optimiser.zero_grad()
        nn.functional.mse_loss(network(inputs[spots]), targets[spots]).backward()
        optimiser.step()
