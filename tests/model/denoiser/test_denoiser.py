from __future__ import annotations

from pathlib import Path

import literal
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hexagonal, square
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import stflow as stf
from stflow.model._config import Config
from stflow.model.denoiser._denoiser import Denoiser
from stflow.model.denoiser._graph import join, spot_graph
from stflow.model.denoiser._sampling import SlideSampler
from stflow.slide._graph import knn_graph

N_FEATURES = 10


def scattered(side: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1000, (side**2, 2))


LAYOUTS = {"square": square, "hexagonal": hexagonal, "scattered": scattered}


def make(n_genes: int, *, seed: int = 0, **config) -> Denoiser:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = {"hidden": 32, "n_layers": 3, **config}
        return Denoiser(N_FEATURES, n_genes, Config(**sizes)).eval()


def inputs(n_spots: int, n_genes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(n_spots, n_genes, generator=generator) * 3
    return y, torch.randn(n_spots, N_FEATURES, generator=generator)


@torch.no_grad()
def evaluate(denoiser, y, features, coords, graph, t: float = 0.4) -> torch.Tensor:
    edges = spot_graph(coords, graph)
    return denoiser(y, features, torch.full((len(y),), t), edges)[0]


@torch.inference_mode()
def evaluate_in_chunks(denoiser, y, features, coords, graph, chunk_size, **how) -> torch.Tensor:
    sampler = SlideSampler(
        denoiser, features, coords, graph, device=torch.device("cpu"), chunk_size=chunk_size, **how
    )
    order = sampler.order
    return sampler(y[order], 0.4)[torch.argsort(order)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_genes", [1, 50, 300])
@pytest.mark.parametrize("k", [1, 6, 8, 18])
def test_equal_to_the_literal_equations(layout: str, n_genes: int, k: int) -> None:
    coords = LAYOUTS[layout](5)
    graph, _ = knn_graph(coords, k)
    denoiser, (y, features) = make(n_genes), inputs(len(coords), n_genes)
    ours = evaluate(denoiser, y, features, coords, graph)
    chunked = evaluate_in_chunks(denoiser, y, features, coords, graph, 7)
    theirs = literal.denoise(denoiser, y, features, 0.4, coords, graph)
    assert torch.allclose(ours.double(), theirs, atol=1e-4, rtol=1e-4)
    assert torch.allclose(chunked.double(), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_spots", [1, 2, 5])
def test_slides_smaller_than_k_plus_one(n_spots: int) -> None:
    coords = scattered(3)[:n_spots]
    graph, _ = knn_graph(coords, 8)
    denoiser, (y, features) = make(4), inputs(n_spots, 4)
    ours = evaluate(denoiser, y, features, coords, graph)
    theirs = literal.denoise(denoiser, y, features, 0.4, coords, graph)
    assert torch.allclose(ours.double(), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("jitter", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15, deadline=None)
@given(
    angle=st.floats(0, 2 * np.pi),
    mirror=st.booleans(),
    shift=st.tuples(*[st.floats(-1e4, 1e4)] * 2),
    unit=st.sampled_from([1.0, 1.449, 1e-3]),
)
def test_invariant_to_rigid_motion_and_units(layout, jitter, angle, mirror, shift, unit) -> None:
    coords = LAYOUTS[layout](6)
    coords = coords + np.random.default_rng(0).normal(0, jitter, coords.shape)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (coords * [1 - 2 * mirror, 1]) @ rotation.T * unit + np.multiply(shift, unit)
    denoiser, (y, features) = make(5), inputs(len(coords), 5)
    before = evaluate(denoiser, y, features, coords, knn_graph(coords, 8)[0])
    after = evaluate(denoiser, y, features, moved, knn_graph(moved, 8)[0])
    assert (before - after).abs().max() <= 1e-4 * before.abs().max()


@pytest.mark.parametrize("angle", [0.1, 1.0, 4.0])
def test_invariant_on_real_tissue(data_dir: Path, angle: float) -> None:
    """Square array with the jitter of its detection, gaps and borders as they are."""
    sdata = stf.datasets.her2st("C2", root=data_dir / "her2st")
    coords = np.array([(p.x, p.y) for p in sdata["spots"].geometry])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = 0.69 * (coords * [-1, 1]) @ turn.T + [300.0, -2000.0]
    denoiser, (y, features) = make(20), inputs(len(coords), 20)
    before = evaluate(denoiser, y, features, coords, knn_graph(coords, 8)[0])
    after = evaluate(denoiser, y, features, moved, knn_graph(moved, 8)[0])
    assert (before - after).abs().max() <= 1e-4 * before.abs().max()


def test_directions_matter() -> None:
    """Negative control: the frames carry something, so stretching a slide changes predictions."""
    coords = scattered(6)
    graph, _ = knn_graph(coords, 8)
    denoiser, (y, features) = make(5), inputs(36, 5)
    sheared = coords @ np.array([[1.0, 0.6], [0.0, 1.0]])
    before = evaluate(denoiser, y, features, coords, graph)
    assert not torch.allclose(before, evaluate(denoiser, y, features, sheared, graph), atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_reordering_spots_reorders_predictions(seed: int) -> None:
    coords = hexagonal(6)
    order = np.random.default_rng(seed).permutation(len(coords))
    denoiser, (y, features) = make(5), inputs(len(coords), 5)
    before = evaluate(denoiser, y, features, coords, knn_graph(coords, 8)[0])
    after = evaluate(
        denoiser, y[order], features[order], coords[order], knn_graph(coords[order], 8)[0]
    )
    assert torch.allclose(before[order], after, atol=1e-5)


@pytest.mark.parametrize("chunk_size", [1, 5, 30, 100, None])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_change_nothing(layout: str, chunk_size: int | None) -> None:
    coords = LAYOUTS[layout](8)
    graph, _ = knn_graph(coords, 8)
    denoiser, (y, features) = make(5), inputs(len(coords), 5)
    whole = evaluate(denoiser, y, features, coords, graph)
    found = evaluate_in_chunks(denoiser, y, features, coords, graph, chunk_size)
    assert torch.allclose(whole, found, atol=1e-5)


def test_low_precision_is_close_and_not_equal() -> None:
    coords = hexagonal(20)
    graph, _ = knn_graph(coords, 8)
    denoiser, (y, features) = make(50, hidden=128), inputs(len(coords), 50)
    high, low = (
        evaluate_in_chunks(denoiser, y, features, coords, graph, 100, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    error = (high - low).square().mean().sqrt() / high.std(0).mean()
    assert 1e-5 < error < 1e-2
    assert low.dtype == torch.float32


def test_other_slides_in_the_batch_change_nothing() -> None:
    denoiser = make(5)
    graphs, ys, features, alone = [], [], [], []
    for seed, layout in enumerate(LAYOUTS.values()):
        coords = layout(3 + seed)
        graph, _ = knn_graph(coords, 8)
        y, x = inputs(len(coords), 5, seed)
        alone.append(evaluate(denoiser, y, x, coords, graph))
        graphs.append(spot_graph(coords, graph))
        ys.append(y)
        features.append(x)
    joined = join(graphs)
    with torch.no_grad():
        t = torch.full((joined.n_spots,), 0.4)
        together = denoiser(torch.cat(ys), torch.cat(features), t, joined)[0]
    assert torch.allclose(torch.cat(alone), together, atol=1e-5)


def test_starts_from_the_given_expression() -> None:
    denoiser, start = make(3), torch.tensor([0.5, 1.0, 2.0])
    denoiser.start_from(start)
    coords = square(3)
    y, features = inputs(9, 3)
    found = evaluate(denoiser, y, features, coords, knn_graph(coords, 4)[0])
    assert torch.allclose(found, start.expand(9, 3))


def test_self_loops_are_no_neighbours() -> None:
    coords = square(3)
    graph, _ = knn_graph(coords, 4)
    looped = sp.csr_matrix(graph + sp.eye(9))
    denoiser, (y, features) = make(3), inputs(9, 3)
    first = evaluate(denoiser, y, features, coords, graph)
    assert torch.equal(first, evaluate(denoiser, y, features, coords, looped))


class LargestTensor(TorchDispatchMode):
    """Notes the most numbers that any tensor made inside holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        self.numbers = max([self.numbers, *(each.numel() for each in made)])
        return result


def test_genes_never_meet_edges() -> None:
    """No tensor of genes x edges, nor of spots x spots, is made on the way."""
    n_genes, coords = 1000, scattered(10)
    graph, _ = knn_graph(coords, 8)
    denoiser, (y, features) = make(n_genes), inputs(len(coords), n_genes)
    with LargestTensor() as largest:
        evaluate(denoiser, y, features, coords, graph)
    assert largest.numbers <= len(coords) * n_genes * len(denoiser.layers)
    assert largest.numbers < graph.nnz * n_genes / 2
    edges = spot_graph(coords, graph)
    with LargestTensor() as control:
        y[edges.source] - y[edges.target]
    assert control.numbers == graph.nnz * n_genes


def test_no_pairs_of_spots() -> None:
    coords = scattered(40)
    graph, _ = knn_graph(coords, 8)
    denoiser, (y, features) = make(3), inputs(len(coords), 3)
    how = {"device": torch.device("cpu"), "chunk_size": 64}
    sampler = SlideSampler(denoiser, features, coords, graph, **how)
    with LargestTensor() as largest:
        sampler.sample(y[None], 2)
    assert largest.numbers < len(coords) ** 2 / 20
    with LargestTensor() as control:
        torch.cdist(features, features)
    assert control.numbers == len(coords) ** 2


def test_gradients_are_those_of_the_equations() -> None:
    coords = hexagonal(3)
    edges = spot_graph(coords, knn_graph(coords, 4)[0])
    edges = edges._replace(geometry=edges.geometry.double())
    denoiser, (y, features) = make(2, hidden=8, n_heads=2, n_layers=2).double(), inputs(9, 2)
    y, features = y.double().requires_grad_(), features.double().requires_grad_()
    t = torch.full((9,), 0.4).double()
    assert torch.autograd.gradcheck(lambda a, b: denoiser(a, b, t, edges)[0], (y, features))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden": 30}, "multiple of 2 \\* n_heads = 8"),
        ({"n_layers": 0}, "`n_layers` must be a whole number"),
        ({"dropout": 1.0}, "`dropout` must lie in"),
        ({"prior": "beta"}, "available: 'nb', 'zinb', 'zero', 'gaussian', 'empirical'"),
    ],
)
def test_configuration_out_of_range(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**config)
