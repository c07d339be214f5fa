from __future__ import annotations

import literal
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from support import hexagonal, square

from stflow.flow import sample
from stflow.model._config import Config
from stflow.model.denoiser._denoiser import Denoiser
from stflow.model.denoiser._sampling import SlideSampler
from stflow.slide._graph import knn_graph

CPU = torch.device("cpu")
N_FEATURES, N_GENES, N_STEPS = 6, 4, 3


def make(**config) -> Denoiser:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden": 32, "n_layers": 2, **config}
        return Denoiser(N_FEATURES, N_GENES, Config(**sizes)).eval()


def inputs(n_spots: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(n_spots, N_FEATURES, generator=generator)
    return torch.rand(n_spots, N_GENES, generator=generator), features


def attend(denoiser, y0, features, coords, graph, n_steps=N_STEPS, **how) -> sp.csr_matrix:
    how = {"device": CPU, "keep_attention": True, **how}
    sampler = SlideSampler(denoiser, features, coords, graph, **how)
    sampler.sample(y0[None], n_steps)
    return sampler.attention


@pytest.mark.parametrize("flow", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 7, None])
@pytest.mark.parametrize("layout", [square, hexagonal])
def test_equal_to_the_literal_equations(layout, chunk_size, flow: bool) -> None:
    """All the way to the last evaluation, in float64, spot by spot."""
    coords = layout(4)
    graph, _ = knn_graph(coords, 6)
    denoiser, (y0, features) = make(flow=flow), inputs(len(coords))
    found = attend(denoiser, y0, features, coords, graph, chunk_size=chunk_size)
    seen = []

    def denoise(y: torch.Tensor, t: float) -> torch.Tensor:
        guess, attention = literal.evaluate(denoiser, y, features, t, coords, graph)
        seen.append((t, attention))
        return guess

    sample(denoise, y0.double(), N_STEPS if flow else 1)
    assert seen[-1][0] == pytest.approx((N_STEPS - 1) / N_STEPS if flow else 0)
    assert np.allclose(found.toarray(), seen[-1][1], atol=1e-5)
    if flow:
        assert not np.allclose(found.toarray(), seen[0][1], atol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 10, 100])
def test_a_share_for_each_neighbour(chunk_size: int) -> None:
    coords = np.vstack([hexagonal(6), [[1e5, 1e5]]])
    graph, _ = knn_graph(coords, 8)
    graph = graph.tolil()
    graph[36], graph[0, 0] = 0, 1
    graph = sp.csr_matrix(graph)
    graph.eliminate_zeros()
    found = attend(make(), *inputs(37), coords, graph, chunk_size=chunk_size)
    assert found.dtype == np.float32
    assert found.shape == (37, 37)
    sums = np.asarray(found.sum(1)).ravel()
    assert sums[:36] == pytest.approx(1, abs=1e-5)
    assert sums[36] == 0
    assert found.data.min() > 0
    neighbours = graph.copy()
    neighbours.setdiag(0)
    neighbours.eliminate_zeros()
    assert ((found > 0) != (neighbours > 0)).nnz == 0
    spread = found.data * np.repeat(found.getnnz(1), found.getnnz(1))
    assert spread.std() > 0.01  # nobody listens to all alike


def test_another_order_of_spots() -> None:
    coords = hexagonal(7)
    y0, features = inputs(49)
    order = np.random.default_rng(0).permutation(49)
    how = {"chunk_size": 10}
    first = attend(make(), y0, features, coords, knn_graph(coords, 8)[0], **how)
    graph, _ = knn_graph(coords[order], 8)
    second = attend(make(), y0[order], features[order], coords[order], graph, **how)
    assert np.allclose(first[order][:, order].toarray(), second.toarray(), atol=1e-5)
    assert not np.allclose(first.toarray(), second.toarray(), atol=1e-2)


def test_samples_are_the_same_whether_or_not_attention_is_kept() -> None:
    coords = hexagonal(5)
    graph, _ = knn_graph(coords, 8)
    y0, features = inputs(25)
    kept, free = (
        SlideSampler(make(), features, coords, graph, device=CPU, keep_attention=keep)
        for keep in (True, False)
    )
    assert torch.equal(kept.sample(y0[None], N_STEPS), free.sample(y0[None], N_STEPS))


def test_no_more_than_a_number_an_edge() -> None:
    """Not one for each layer, head or sampler."""
    coords = hexagonal(6)
    graph, _ = knn_graph(coords, 8)
    y0, features = inputs(36)
    sampler = SlideSampler(
        make(), features, coords, graph, device=CPU, chunk_size=10, keep_attention=True
    )
    sampler.sample(y0[None], N_STEPS)
    assert sum(each.numel() for each in sampler._attended) == graph.nnz
    assert sampler.attention.nnz == graph.nnz
