"""What `flow=False` and `frames=False` take away from the model."""

from __future__ import annotations

import literal
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from support import hexagonal, tensor_slide

from stflow.flow import make_prior
from stflow.model._config import Config
from stflow.model.denoiser._denoiser import Denoiser
from stflow.model.denoiser._graph import spot_graph
from stflow.model.denoiser._sampling import SlideSampler, draws
from stflow.model.training._crops import Crops
from stflow.slide._graph import knn_graph

CPU = torch.device("cpu")
N_FEATURES, N_GENES = 6, 3


def make(**config) -> Denoiser:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden": 32, "n_layers": 2, **config}
        return Denoiser(N_FEATURES, N_GENES, Config(**sizes)).eval()


def inputs(n_spots: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(n_spots, N_FEATURES, generator=generator)
    return torch.rand(n_spots, N_GENES, generator=generator), features


@torch.no_grad()
def evaluate(denoiser: Denoiser, coords: np.ndarray, graph: sp.csr_matrix) -> torch.Tensor:
    y, features = inputs(len(coords))
    t = torch.full((len(coords),), 0.4)
    return denoiser(y, features, t, spot_graph(coords, graph))[0]


def test_a_regression_starts_from_nothing_and_takes_no_other_prior() -> None:
    config = Config(flow=False)
    assert (config.prior, config.prior_parameters) == ("zero", {})
    assert Config(**config.to_dict()) == config
    assert Config().prior == Config(prior="zinb").prior == "zinb"
    with pytest.raises(ValueError, match="`prior` is 'zinb', but without a flow nothing starts"):
        Config(flow=False, prior="zinb")
    with pytest.raises(ValueError, match="`prior` is 'beta'"):
        Config(flow=False, prior="beta")


def test_a_configuration_is_made_of_some_values_or_none() -> None:
    config = Config(hidden=64)
    assert Config.of(config) is config
    assert Config.of({"hidden": 64}) == config
    assert Config.of(None) == Config()
    with pytest.raises(TypeError, match="`config` holds 'width'; it may hold 'n_layers'"):
        Config.of({"width": 64})
    with pytest.raises(TypeError, match=r"`config` is a str; pass an `stf\.Config` or a dict"):
        Config.of("small")


def test_a_regression_is_trained_on_nothing_at_time_zero() -> None:
    coords = hexagonal(5)
    expression, features = inputs(25)
    slide = tensor_slide(coords, features, expression + 1)
    prior = make_prior("zero", n_genes=N_GENES)
    crops, control = (Crops([slide], prior, 0, flow=flow) for flow in (False, True))
    for draw in range(10):
        crop, flowing = crops[draw], control[draw]
        assert (crop.noisy == 0).all()
        assert (crop.t == 0).all()
        assert torch.equal(crop.expression, flowing.expression)
        assert (flowing.noisy > 0).all()
        assert (flowing.t > 0).all()


def test_a_regression_is_evaluated_once_at_time_zero(monkeypatch) -> None:
    times: list[float] = []
    once = SlideSampler.__call__

    def spy(self, y, t):
        times.append(t)
        return once(self, y, t)

    monkeypatch.setattr(SlideSampler, "__call__", spy)
    coords = hexagonal(5)
    _, features = inputs(25)
    graph, _ = knn_graph(coords, 8)
    prior = make_prior("zero", n_genes=N_GENES)
    found = []
    for n_steps in (1, 5):
        sampler = SlideSampler(make(flow=False), features, coords, graph, device=CPU)
        found += draws(sampler, prior, seeds=[n_steps], n_steps=n_steps)
    assert times == [0, 0]
    assert torch.equal(*found)
    control = SlideSampler(make(), features, coords, graph, device=CPU)
    list(draws(control, prior, seeds=[0], n_steps=5))
    assert times[2:] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_without_frames_only_lengths_are_read() -> None:
    """As the equations with the weights of directions set to nothing."""
    coords = np.random.default_rng(1).uniform(0, 1000, (20, 2))
    graph, _ = knn_graph(coords, 6)
    denoiser, (y, features) = make(), inputs(20)
    with torch.no_grad():
        for layer, _ in denoiser.blocks():
            layer.edges.inner.weight[:, :2] = 0
    plain = make(frames=False)
    assert [layer.edges.frames.tolist() for layer, _ in plain.blocks()] == [[[0, 0, 1]]] * 2
    expected = literal.denoise(denoiser, y, features, 0.4, coords, graph)
    assert torch.allclose(evaluate(plain, coords, graph).double(), expected, atol=1e-5)


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("angle", [0.3, 2.0])
def test_without_frames_invariant_all_the_same(angle: float, mirror: int) -> None:
    coords = np.random.default_rng(1).uniform(0, 1000, (36, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (coords * [mirror, 1]) @ turn * 0.37 + [1e3, -5e2]
    denoiser = make(frames=False)
    before = evaluate(denoiser, coords, knn_graph(coords, 8)[0])
    after = evaluate(denoiser, moved, knn_graph(moved, 8)[0])
    assert (before - after).abs().max() <= 1e-4 * before.abs().max()


@pytest.mark.parametrize("frames", [False, True])
def test_scrambled_directions(frames: bool) -> None:
    """A spot whose neighbours move around it, each at its distance: frames alone see that."""
    rng = np.random.default_rng(0)
    radii = np.array([1.0, 1.3, 1.7, 2.2, 3.0])
    graph = sp.csr_matrix((np.ones(5), (np.zeros(5, int), np.arange(1, 6))), shape=(6, 6))
    found = []
    for _ in range(2):
        angles = rng.uniform(0, 2 * np.pi, 5)
        ring = radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        found.append(evaluate(make(frames=frames), np.vstack([np.zeros(2), ring]), graph)[0])
    assert torch.allclose(*found, atol=1e-6) != frames
