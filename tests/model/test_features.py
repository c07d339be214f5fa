from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from stflow.model import _features
from stflow.model._features import Features
from stflow.slide import _rows
from stflow.slide._graph import neighbour_mean
from stflow.slide._rows import deviations
from stflow.slide._slide import Slide


def make_slide(embedding: np.ndarray, graph: np.ndarray | None = None) -> Slide:
    n = len(embedding)
    graph = np.roll(np.eye(n), 1, axis=1) if graph is None else graph
    coords = np.column_stack([np.arange(n), np.zeros(n)])
    return Slide("s", coords, sp.csr_matrix(graph), embedding.astype(np.float32), np.arange(n))


def test_neighbour_mean_by_hand() -> None:
    graph = sp.csr_matrix(np.array([[1, 1, 1], [0, 0, 0.5], [0, 0, 0]]))
    values = np.array([[1.0], [2.0], [6.0]])
    assert neighbour_mean(values, graph).ravel().tolist() == [4.0, 6.0, 6.0]


def test_neighbour_mean_leaves_the_graph_alone() -> None:
    graph = sp.csr_matrix(np.array([[0.0, 3.0], [3.0, 0.0]]))
    neighbour_mean(np.ones((2, 1)), graph)
    assert graph.data.tolist() == [3.0, 3.0]


def test_features_are_centred_and_scaled_together(rng: np.random.Generator) -> None:
    slides = [make_slide(rng.normal(5, 3, (40, 20))) for _ in range(2)]
    features = Features.fit(slides, 6, seed=0)
    found = torch.cat([features(s.embedding, s.graph) for s in slides])
    assert found.shape == (80, 12) == (80, features.width)
    assert found.mean(0).abs().max() < 1e-5
    own, context = found.var(0).split(6)
    assert own.sum().item() == pytest.approx(6, rel=1e-3)
    assert context.sum().item() == pytest.approx(6, rel=1e-3)
    assert (own.diff() <= 1e-4).all()


def test_read_in_blocks_and_from_some_spots(rng, monkeypatch) -> None:
    """The same features however the embedding is read; a part of the spots is enough to learn."""
    slides = [make_slide(rng.normal(size=(n, 6)) @ np.diag([5, 4, 3, 1, 1, 1])) for n in (300, 200)]
    whole = Features.fit(slides, 3, 0)
    monkeypatch.setattr(_rows, "BLOCK", 37)
    blocks = Features.fit(slides, 3, 0)
    assert torch.allclose(whole.components.abs(), blocks.components.abs(), atol=1e-5)
    first, second = (f(slides[0].embedding, slides[0].graph) for f in (whole, blocks))
    assert torch.allclose(first.abs(), second.abs(), atol=1e-4)
    monkeypatch.setattr("stflow.slide._parts.MAX_SPOTS", 250)
    picked = _features.draw_spots(slides, 0)
    assert sum(len(spots) for _, spots in picked) == 250
    assert all((np.diff(spots) > 0).all() and spots[-1] < s.n_spots for s, spots in picked)
    some = Features.fit(slides, 3, 0)
    assert torch.allclose(whole.mean, some.mean, atol=1.0)
    assert not torch.equal(whole.mean, some.mean)


def test_spots_and_their_neighbours_by_hand() -> None:
    slide = make_slide(np.arange(10.0).reshape(5, 2))
    other = make_slide(np.arange(10.0, 20.0).reshape(5, 2))
    own, context = _features.read_spots([(slide, np.array([1, 4])), (other, np.array([4]))])
    assert own.tolist() == [[2, 3], [8, 9], [18, 19]]
    assert context.tolist() == [[4, 5], [0, 1], [10, 11]]


def test_unit_of_a_column_does_not_matter(rng: np.random.Generator) -> None:
    embedding = rng.normal(size=(30, 5))
    scaled = embedding * [1, 10, 1000, 0.1, 3]
    first, second = (
        Features.fit([make_slide(e)], 3, 0)(make_slide(e).embedding, make_slide(e).graph)
        for e in (embedding, scaled)
    )
    assert torch.allclose(first.abs(), second.abs(), atol=1e-3)


def test_a_constant_column_and_few_spots_do_no_harm(rng: np.random.Generator) -> None:
    embedding = rng.normal(size=(7, 5))
    embedding[:, 2] = 4.0
    slide = make_slide(embedding)
    features = Features.fit([slide], 64, 0)
    assert features.width == 10
    moved = embedding.copy()
    moved[:, 2] = 9.0
    before = features(slide.embedding, slide.graph)
    assert torch.isfinite(before).all()
    assert torch.allclose(before, features(moved.astype(np.float32), slide.graph), atol=1e-5)


def test_columns_that_do_not_vary_have_no_scale_however_many_spots(rng) -> None:
    matrix = np.full((5000, 2), 0.1, dtype=np.float32)
    matrix[:, 1] += rng.normal(size=5000) * 1e-3
    mean, scale = deviations(matrix)
    assert np.isinf(scale[0])
    assert scale[1] == pytest.approx(1e-3, rel=0.1)
    assert mean == pytest.approx([0.1, 0.1], rel=1e-3)
    assert {mean.dtype, scale.dtype} == {matrix.dtype}
