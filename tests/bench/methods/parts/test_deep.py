"""The loop of published networks: it stops by the rule of a fit, counted in steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stflow._schedule import Schedule
from stflow.bench.methods._parts import Deep, Training


class Nothing(Training):
    """A network that answers with ever larger numbers from its third epoch on."""

    def __init__(self, slides, n_steps: int) -> None:
        self.network = nn.Linear(1, 1)
        self.n_steps, self.n_genes, self.seen = n_steps, len(slides[0].genes), 0

    def batches(self, rng):
        return iter(range(self.n_steps))

    def loss(self, batch):
        return self.network(torch.zeros(1, 1)).sum()

    def predict(self, slide):
        self.seen += 1
        return torch.full((slide.n_spots, self.n_genes), 1e3 + abs(self.seen - 3)).numpy()


def method(n_steps: int) -> type[Deep]:
    class Idle(Deep):
        citation = "nobody"

        def _setup(self, slides, seed, device):
            return Nothing(slides, n_steps)

    return Idle


@pytest.mark.parametrize(("n_steps", "waited"), [(32, 4), (40, 4), (43, 3), (128, 1), (500, 1)])
def test_it_stops_after_so_many_steps_without_gain(arrays, n_steps, waited):
    candidates = method(n_steps)(protocol="hest").candidates(arrays[:1], arrays[1], 0)
    epochs = [choice[1] for choice, _ in candidates]
    assert epochs == list(range(1, 3 + waited + 1))
    assert (waited - 1) * n_steps < Schedule.early_stopping <= waited * n_steps


def test_epochs_that_are_asked_for_are_the_most(arrays):
    candidates = method(1)(protocol="hest", max_epochs=2).candidates(arrays[:1], arrays[1], 0)
    assert len(list(candidates)) == 2
