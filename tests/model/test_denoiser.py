from __future__ import annotations

import literal
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stflow.model._config import Config
from stflow.model._denoiser import Denoiser
from stflow.model._graph import join, spot_graph
from stflow.pp._neighbors import knn_graph

N_FEATURES = 10


def square(side: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 200.0


def hexagonal(side: int) -> np.ndarray:
    grid = square(side) / 2
    grid[:, 0] += 50 * (np.arange(len(grid)) // side % 2)
    grid[:, 1] *= np.sqrt(3) / 2
    return grid


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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("n_genes", "k"), [(1, 6), (50, 8), (300, 1), (7, 18)])
def test_equal_to_the_literal_equations(layout: str, n_genes: int, k: int) -> None:
    coords = LAYOUTS[layout](5)
    graph, _ = knn_graph(coords, k)
    denoiser, (y, features) = make(n_genes), inputs(len(coords), n_genes)
    ours = evaluate(denoiser, y, features, coords, graph)
    theirs = literal.denoise(denoiser, y, features, 0.4, coords, graph)
    assert torch.allclose(ours.double(), theirs, atol=1e-4, rtol=1e-4)


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
    assert torch.allclose(before, after, atol=1e-4, rtol=1e-4)


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


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden": 30}, "multiple of 2 \\* n_heads = 8"),
        ({"n_layers": 0}, "`n_layers` must be a whole number"),
        ({"dropout": 1.0}, "`dropout` must lie in"),
        ({"prior": "beta"}, "available: 'zinb', 'nb', 'zero', 'gaussian', 'empirical'"),
    ],
)
def test_configuration_out_of_range(config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config(**config)
