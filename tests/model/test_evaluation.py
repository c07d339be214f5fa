from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from support import hexagonal

from stflow.flow import NB
from stflow.model import _evaluation
from stflow.model._attention import FrameEncoder
from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._evaluation import Evaluation, draws, tables_home
from stflow.pp._neighbors import knn_graph

CPU = torch.device("cpu")
N_GENES, N_STEPS = 4, 3


@pytest.fixture
def denoiser() -> Denoiser:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Denoiser(6, N_GENES, Config(hidden=32, n_layers=2)).eval()


def make(denoiser: Denoiser, order: np.ndarray | None = None, **how) -> Evaluation:
    coords = hexagonal(7)
    features = torch.randn(len(coords), 6, generator=torch.Generator().manual_seed(1))
    order = np.arange(len(coords)) if order is None else order
    graph, _ = knn_graph(coords[order], 8)
    return Evaluation(denoiser, features[order], coords[order], graph, device=CPU, **how)


def start(n_spots: int = 49) -> torch.Tensor:
    return torch.rand(n_spots, N_GENES, generator=torch.Generator().manual_seed(2))


def test_sampling_follows_the_recurrence(denoiser) -> None:
    """Euler steps towards the predicted end point, by hand."""
    evaluation = make(denoiser)
    y = start()
    with torch.inference_mode():
        for step in range(N_STEPS - 1):
            t = step / N_STEPS
            y = y + (evaluation(y, t) - y) / (1 - t) / N_STEPS
        expected = evaluation(y, (N_STEPS - 1) / N_STEPS)
    assert torch.allclose(evaluation.sample(start(), N_STEPS), expected, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 10, None])
def test_samples_and_states_whatever_the_chunk(denoiser, chunk_size) -> None:
    whole, chunked = make(denoiser), make(denoiser, chunk_size=chunk_size)
    first, second = whole.sample(start(), N_STEPS), chunked.sample(start(), N_STEPS)
    assert torch.allclose(first, second, atol=1e-5)
    assert torch.allclose(whole.latent, chunked.latent, atol=1e-5)
    assert whole.latent.shape == (49, 32)


def test_another_order_of_spots(denoiser) -> None:
    order = np.random.default_rng(0).permutation(49)
    first = make(denoiser, chunk_size=10).sample(start(), N_STEPS)
    second = make(denoiser, order, chunk_size=10).sample(start()[order], N_STEPS)
    assert torch.allclose(first[order], second, atol=1e-5)


def test_edges_are_encoded_once_for_all_evaluations_and_samples(denoiser, monkeypatch) -> None:
    calls: Counter[str] = Counter()
    encode = FrameEncoder.forward

    def count(self, geometry):
        calls["edges"] += 1
        return encode(self, geometry)

    monkeypatch.setattr(FrameEncoder, "forward", count)
    kept = make(denoiser, chunk_size=25)
    found = [kept.sample(start(), N_STEPS) for _ in range(4)]
    assert calls["edges"] == 2 * len(denoiser.layers)
    monkeypatch.setattr(_evaluation, "EDGE_BYTES", 0)
    calls.clear()
    again = make(denoiser, chunk_size=25).sample(start(), N_STEPS)
    assert calls["edges"] == 2 * len(denoiser.layers) * N_STEPS
    assert torch.equal(found[0], again)


def test_a_sample_does_not_depend_on_how_many_are_drawn(denoiser) -> None:
    how = {"n_steps": N_STEPS, "seed": 5}
    prior, evaluation = NB(torch.ones(N_GENES), torch.ones(N_GENES)), make(denoiser)
    many = list(draws(evaluation, prior, n_samples=3, **how))
    few = list(draws(evaluation, prior, n_samples=2, **how))
    assert torch.equal(many[0], few[0])
    assert torch.equal(many[1], few[1])
    assert not torch.equal(many[0], many[1])


def test_the_network_is_left_as_it_was(denoiser) -> None:
    before = {name: each.clone() for name, each in denoiser.state_dict().items()}
    denoiser.train()
    make(denoiser, precision="bfloat16").sample(start(), 1)
    assert denoiser.training
    assert all(torch.equal(before[name], each) for name, each in denoiser.state_dict().items())


def test_every_layer_is_reported(denoiser) -> None:
    done: list[None] = []
    make(denoiser, on_layer=lambda: done.append(None)).sample(start(), N_STEPS)
    assert len(done) == N_STEPS * len(denoiser.layers)


def test_tables_stay_on_the_device_while_they_fit(monkeypatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 200))
    assert tables_home(50, cuda) == cuda
    assert tables_home(51, cuda) == CPU
    assert tables_home(10**15, CPU) == CPU
