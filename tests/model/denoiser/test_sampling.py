from __future__ import annotations

import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from support import hexagonal

from stflow._random import spawn_seeds
from stflow.flow import NB
from stflow.model._config import Config
from stflow.model.denoiser import _sampling as _evaluation
from stflow.model.denoiser._attention import FrameEncoder
from stflow.model.denoiser._denoiser import Denoiser
from stflow.model.denoiser._sampling import SlideSampler, draws, samples_at_once, tables_home
from stflow.slide._graph import knn_graph

CPU = torch.device("cpu")
N_GENES, N_STEPS = 4, 3


@pytest.fixture
def denoiser() -> Denoiser:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Denoiser(6, N_GENES, Config(hidden=32, n_layers=2)).eval()


def make(denoiser: Denoiser, order: np.ndarray | None = None, **how) -> SlideSampler:
    coords = hexagonal(7)
    features = torch.randn(len(coords), 6, generator=torch.Generator().manual_seed(1))
    order = np.arange(len(coords)) if order is None else order
    graph, _ = knn_graph(coords[order], 8)
    return SlideSampler(denoiser, features[order], coords[order], graph, device=CPU, **how)


def start(n_spots: int = 49) -> torch.Tensor:
    return torch.rand(1, n_spots, N_GENES, generator=torch.Generator().manual_seed(2))


def test_sampling_follows_the_recurrence(denoiser) -> None:
    """Euler steps towards the predicted end point, by hand."""
    sampler = make(denoiser)
    (y,) = start()
    with torch.inference_mode():
        for step in range(N_STEPS - 1):
            t = step / N_STEPS
            y = y + (sampler(y, t) - y) / (1 - t) / N_STEPS
        expected = sampler(y, (N_STEPS - 1) / N_STEPS)
    assert torch.allclose(sampler.sample(start(), N_STEPS)[0], expected, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 10, None])
def test_samples_and_states_whatever_the_chunk(denoiser, chunk_size) -> None:
    whole, chunked = make(denoiser), make(denoiser, chunk_size=chunk_size)
    first, second = whole.sample(start(), N_STEPS), chunked.sample(start(), N_STEPS)
    assert torch.allclose(first, second, atol=1e-5)
    assert torch.allclose(whole.latent, chunked.latent, atol=1e-5)
    assert whole.latent.shape == (1, 49, 32)


def test_another_order_of_spots(denoiser) -> None:
    order = np.random.default_rng(0).permutation(49)
    first = make(denoiser, chunk_size=10).sample(start(), N_STEPS)
    second = make(denoiser, order, chunk_size=10).sample(start()[:, order], N_STEPS)
    assert torch.allclose(first[:, order], second, atol=1e-5)


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


@pytest.mark.parametrize("chunk_size", [10, 100, 1000])
def test_a_sample_does_not_depend_on_how_many_are_drawn(denoiser, chunk_size) -> None:
    """Nor on how many of them go side by side: 1, 2 or all of them."""
    prior = NB(torch.ones(N_GENES), torch.ones(N_GENES))

    def drawn(n_samples: int, size: int | None = None) -> torch.Tensor:
        sampler = make(denoiser, n_samples=n_samples, chunk_size=size)
        seeds = spawn_seeds(5, n_samples)
        return torch.cat(list(draws(sampler, prior, seeds=seeds, n_steps=N_STEPS)))

    many, one = drawn(4, chunk_size), drawn(1)
    assert many.shape == (4, 49, N_GENES)
    assert torch.allclose(many, drawn(4, 49), atol=1e-5)
    assert torch.allclose(many[0], one[0], atol=1e-5)
    assert not torch.allclose(many[0], many[1], atol=1e-4)


def test_states_of_samples_side_by_side(denoiser) -> None:
    y0 = torch.cat([start(), start() + 1])
    sampler = make(denoiser, n_samples=2)
    sampler.sample(y0, N_STEPS)
    states = sampler.latent
    for i in range(2):
        alone = make(denoiser)
        alone.sample(y0[i, None], N_STEPS)
        assert torch.allclose(states[i], alone.latent[0], atol=1e-5)


@pytest.mark.parametrize(
    ("n_samples", "n_spots", "chunk_size", "expected"),
    [(8, 100, 1000, 8), (8, 100, 799, 4), (7, 100, 699, 1), (1, 100, 10, 1), (6, 1, 3, 3)],
)
def test_samples_share_a_chunk_equally(n_samples, n_spots, chunk_size, expected) -> None:
    assert samples_at_once(n_samples, n_spots, chunk_size) == expected


@pytest.mark.parametrize("chunk_size", [10, None])
def test_held_spots_stay_on_their_path_and_are_heard(denoiser, chunk_size) -> None:
    """At time t a held spot is at t * known + (1 - t) * start, in every sample side by side."""
    spots, known = torch.tensor([3, 40]), torch.tensor([[1.0] * N_GENES, [2.0] * N_GENES])
    y0 = torch.cat([start(), start() + 1])
    sampler = make(denoiser, n_samples=2, chunk_size=chunk_size and 2 * 49)
    sampler.hold(spots, known)
    seen: list[tuple[float, torch.Tensor]] = []
    denoise = type(sampler).__call__

    class Spy(type(sampler)):
        def __call__(self, y, t):
            seen.append((t, self._in_order(y).clone()))
            return denoise(self, y, t)

    sampler.__class__ = Spy
    result = sampler.sample(y0, N_STEPS)
    assert [t for t, _ in seen] == pytest.approx([0, 1 / 3, 2 / 3])
    for t, y in seen:
        assert torch.allclose(y[:, spots], t * known + (1 - t) * y0[:, spots], atol=1e-6)
    assert torch.equal(result[:, spots], known.expand(2, -1, -1))
    free = make(denoiser, n_samples=2).sample(y0, N_STEPS)
    others = torch.tensor([i for i in range(49) if i not in (3, 40)])
    assert not torch.allclose(result[:, others], free[:, others], atol=1e-6)


def test_the_network_is_left_as_it_was(denoiser) -> None:
    before = {name: each.clone() for name, each in denoiser.state_dict().items()}
    denoiser.train()
    make(denoiser, precision="bfloat16").sample(start(), 1)
    assert denoiser.training
    assert all(torch.equal(before[name], each) for name, each in denoiser.state_dict().items())


def test_every_layer_is_reported(denoiser) -> None:
    done: list[int] = []
    make(denoiser, on_layer=done.append).sample(start(), N_STEPS)
    assert done == [1] * N_STEPS * len(denoiser.layers)
    done.clear()
    make(denoiser, n_samples=2, on_layer=done.append).sample(start().repeat(2, 1, 1), N_STEPS)
    assert sum(done) == 2 * N_STEPS * len(denoiser.layers)


def test_tables_stay_on_the_device_while_they_fit(monkeypatch) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 200))
    assert tables_home(50, cuda) == cuda
    assert tables_home(51, cuda) == CPU
    assert tables_home(10**15, CPU) == CPU


def test_a_draw_of_the_prior_is_let_go_before_the_network_runs(denoiser, monkeypatch) -> None:
    prior, drawn, held = NB(2.0, 1.0), [], []

    def sample(*how) -> torch.Tensor:
        draw = NB.sample(prior, *how)
        drawn.append(weakref.ref(draw))
        return draw

    monkeypatch.setattr(prior, "sample", sample)
    sampler = make(denoiser, on_layer=lambda _: held.append(drawn[-1]() is not None))
    assert len(list(draws(sampler, prior, seeds=[0, 1], n_steps=N_STEPS))) == len(drawn) == 2
    assert len(held) == 2 * N_STEPS * 2
    assert not any(held)
