from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from support import hexagonal

from stflow.bench.methods._parts._egnn import EGNNLayer, egnn
from stflow.model._config import Config
from stflow.model.denoiser._denoiser import Denoiser
from stflow.model.denoiser._graph import spot_graph
from stflow.model.denoiser._sampling import SlideSampler

N_GENES, N_FEATURES = 4, 6


def neighbours(coords: np.ndarray) -> csr_matrix:
    away = np.linalg.norm(coords[:, None] - coords[None], axis=-1)
    return csr_matrix((away > 0) & (away < 1.3 * np.min(away[away > 0])))


@pytest.fixture
def denoiser() -> Denoiser:
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        config = Config(hidden=32, n_layers=2)
        return Denoiser(N_FEATURES, N_GENES, config, make_layer=egnn).eval()


@pytest.fixture
def spots(rng) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Jittered centres, features and expression of 36 spots."""
    coords = hexagonal(6) + rng.normal(0, 5, (36, 2))
    features, y = rng.standard_normal((36, N_FEATURES)), rng.standard_normal((36, N_GENES))
    return coords, torch.tensor(features).float(), torch.tensor(y).float()


def run(denoiser, coords, features, y, graph) -> torch.Tensor:
    with torch.inference_mode():
        t = torch.full((len(coords),), 0.4)
        return denoiser(y, features, t, spot_graph(coords, graph))[0]


def turned(coords: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return coords @ np.array([[cos, -sin], [sin, cos]])


@pytest.mark.parametrize(
    "move",
    [
        lambda xy: turned(xy, 0.7),
        lambda xy: xy * [-1, 1],
        lambda xy: np.add(xy, [1e3, -50]),
        lambda xy: 3 * xy,
    ],
    ids=["turned", "mirrored", "shifted", "scaled"],
)
def test_it_sees_distances_alone(denoiser, spots, move) -> None:
    coords, *rest = spots
    graph = neighbours(coords)
    before = run(denoiser, coords, *rest, graph)
    assert torch.allclose(run(denoiser, move(coords), *rest, graph), before, atol=1e-4)
    stretched = run(denoiser, coords * [1.5, 1], *rest, graph)
    assert (stretched - before).abs().max() > 1e-3


def test_a_layer_is_the_one_of_the_paper(denoiser, spots) -> None:
    coords, features, y = spots
    layer, graph = denoiser.layers[0], spot_graph(coords, neighbours(coords))
    z = torch.cat([features] * 6, 1)[:, :32]
    with torch.inference_mode():
        got = layer(z, layer.messages(z, y), layer.edges(graph.geometry), graph)
        state = z + layer.expression(y)
        for i in range(len(z)):
            total = torch.zeros(32)
            for j in graph.source[graph.target == i]:
                edge = (graph.target == i) & (graph.source == j)
                squared = graph.geometry[edge, 2] ** 2
                inner = layer.listen(state[i]) + layer.speak(state[j]) + layer.distance(squared)
                silu = torch.nn.functional.silu
                total += silu(layer.outer(silu(inner)))
            assert torch.allclose(got[i], z[i] + layer.update(torch.cat([z[i], total])), atol=1e-4)


def test_expression_of_neighbours_is_heard_and_that_of_others_is_not(denoiser, spots) -> None:
    coords, _, y = spots
    graph = neighbours(coords)
    layer, ready = denoiser.layers[0], spot_graph(coords, graph)
    z = torch.zeros(36, 32)
    with torch.inference_mode():
        changed = y.clone()
        changed[0] += 1
        before, after = (
            layer(z, layer.messages(z, each), layer.edges(ready.geometry), ready)
            for each in (y, changed)
        )
    moved = (before - after).abs().amax(1) > 1e-6
    hears = graph[:, [0]].toarray()[:, 0] > 0
    hears[0] = True
    assert np.array_equal(moved.numpy(), hears)
    assert not moved.all()


def test_a_spot_without_neighbours_is_finite(denoiser, spots) -> None:
    coords, *rest = spots
    graph = neighbours(coords).tolil()
    graph[3] = 0
    assert torch.isfinite(run(denoiser, coords, *rest, graph.tocsr())).all()


def test_chunks_give_what_all_spots_at_once_give(denoiser, spots) -> None:
    coords, features, y = spots
    graph = neighbours(coords)
    evaluation = SlideSampler(
        denoiser, features, coords, graph, device=torch.device("cpu"), chunk_size=7
    )
    got = evaluation.sample(y[None], 1)[0]
    with torch.inference_mode():
        at_0 = denoiser(y, features, torch.zeros(36), spot_graph(coords, graph))[0]
    assert len(evaluation.chunks) > 3
    assert torch.allclose(got, at_0, atol=1e-5)
    assert not torch.allclose(got, run(denoiser, coords, features, y, graph), atol=1e-5)


def test_it_is_as_wide_as_the_configuration() -> None:
    layer = egnn(5, Config(hidden=48))
    assert isinstance(layer, EGNNLayer)
    assert layer.expression.in_features == 5
    assert layer.outer.out_features == 48
