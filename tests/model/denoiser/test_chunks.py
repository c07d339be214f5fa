from __future__ import annotations

import numpy as np
import pytest
import torch
from support import hexagonal

from stflow.model.denoiser._chunks import cut, spatial_order
from stflow.model.denoiser._graph import spot_graph
from stflow.slide._graph import knn_graph

COORDS = hexagonal(9)
GRAPH, _ = knn_graph(COORDS, 8)


@pytest.mark.parametrize("size", [1, 7, 80, 81, 500])
def test_chunks_hold_every_edge_once(size: int) -> None:
    whole, chunks = spot_graph(COORDS, GRAPH), cut(COORDS, GRAPH, size)
    assert [spot for c in chunks for spot in range(*c.rows.indices(81))] == list(range(81))
    assert max(c.graph.n_spots for c in chunks) == min(size, 81)
    target = torch.cat([c.graph.target + c.rows.start for c in chunks])
    source = torch.cat([c.graph.source + c.reach.start for c in chunks])
    assert torch.equal(target, whole.target)
    assert torch.equal(source, whole.source)
    assert torch.equal(torch.cat([c.graph.geometry for c in chunks]), whole.geometry)
    for c in chunks:
        assert c.graph.source.min() == 0
        assert c.graph.source.max() == c.reach.stop - c.reach.start - 1


def test_a_chunk_without_edges() -> None:
    (chunk,) = cut(COORDS[:1], GRAPH[:1, :1] * 0, 5)
    assert chunk.graph.n_spots == 1
    assert chunk.graph.source.numel() == 0
    assert chunk.reach == slice(0, 1)


def test_order_brings_neighbours_together() -> None:
    coords = np.random.default_rng(0).permutation(hexagonal(40))
    graph, _ = knn_graph(coords, 8)
    order = spatial_order(graph, 100).numpy()
    assert np.array_equal(np.sort(order), np.arange(1600))

    def reach(adjacency) -> int:
        return max(c.reach.stop - c.reach.start for c in cut(coords, adjacency, 100))

    assert reach(graph[order][:, order]) < 400 < 1500 < reach(graph)


def test_a_slide_of_one_chunk_keeps_its_order() -> None:
    assert torch.equal(spatial_order(GRAPH, 81), torch.arange(81))
