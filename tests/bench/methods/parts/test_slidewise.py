from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from support import mean_pearson

from stflow.bench.methods import TRIPLEX, Hist2ST, HisToGene
from stflow.bench.methods._method import Published
from stflow.bench.methods._parts._slidewise import Block, place_spots, positions, resize_tiles
from stflow.slide._parts import subset
from stflow.slide._slide import Slide

CPU = torch.device("cpu")
ON_SLIDES = [HisToGene, Hist2ST, TRIPLEX]


def small(method: type[Published], max_epochs: int = 1) -> Published:
    narrow = type(method.__name__, (method,), {"width": 32})
    return narrow(protocol="hest", max_epochs=max_epochs, device="cpu")


@pytest.fixture(scope="module", params=ON_SLIDES)
def fitted(request, arrays) -> Published:
    return small(request.param).fit(arrays[:2])


@pytest.mark.parametrize(
    ("method", "max_epochs"),
    [
        (HisToGene, 3),
        pytest.param(Hist2ST, 6, marks=pytest.mark.slow),
        pytest.param(TRIPLEX, 2, marks=pytest.mark.slow),
    ],
)
def test_learns_what_tiles_say_and_nothing_from_shuffled_expression(
    method, max_epochs, arrays, rng
):
    def score(slides: list[Slide]) -> float:
        predicted = small(method, max_epochs).fit(slides).predict(arrays[2])
        return mean_pearson(predicted, arrays[2].expression)

    assert score(arrays[:2]) > 0.15
    shuffled = [replace(s, expression=rng.permutation(s.expression)) for s in arrays[:2]]
    assert abs(score(shuffled)) < 0.15


def test_order_of_spots_does_not_matter(fitted, arrays, rng):
    slide, order = arrays[2], rng.permutation(arrays[2].n_spots)
    graph = slide.graph[order][:, order]
    parts = {"coords": slide.coords[order], "embedding": slide.embedding[order], "graph": graph}
    mixed = replace(slide, tiles=slide.tiles[order], expression=None, genes=(), **parts)
    predicted = fitted.predict(slide)
    assert np.allclose(fitted.predict(mixed), predicted[order], atol=1e-4)
    assert not np.allclose(predicted[order], predicted, atol=1e-4)


def test_unit_and_origin_of_coordinates_do_not_matter(fitted, arrays):
    slide = arrays[2]
    moved = replace(slide, coords=slide.coords * 3 + 1000)
    assert np.allclose(fitted.predict(moved), fitted.predict(slide), atol=1e-4)


def test_a_spot_is_seen_together_with_others(fitted, arrays):
    alone = fitted.predict(subset(arrays[2], np.array([5])))
    assert alone.shape == (1, len(fitted.genes))
    assert np.isfinite(alone).all()
    assert not np.allclose(alone, fitted.predict(arrays[2])[5], atol=1e-4)


def test_few_spots_are_enough_to_predict(fitted, arrays):
    assert np.isfinite(fitted.predict(subset(arrays[2], np.arange(7)))).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ON_SLIDES)
def test_the_seed_decides_and_torch_is_left_alone(method, arrays):
    few = [subset(slide, np.arange(12)) for slide in arrays]
    state = torch.random.get_rng_state()
    first, again, other = (small(method).fit(few[:2], seed=s).predict(few[2]) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", [HisToGene, Hist2ST])
def test_slides_without_tiles_are_refused(method, arrays):
    bare = [replace(slide, tiles=None) for slide in arrays]
    with pytest.raises(ValueError, match="S1 has no tiles"):
        small(method).fit(bare)
    with pytest.raises(ValueError, match="S3 has no tiles"):
        small(method).predict(bare[2])
    with pytest.raises(RuntimeError, match="not fitted"):
        small(method).predict(arrays[2])


@pytest.mark.slow
@pytest.mark.parametrize("method", ON_SLIDES)
def test_runs_on_real_tissue(method, her2st):
    few = [subset(slide, np.arange(60)) for slide in her2st]
    predicted = small(method).fit(few[:2]).predict(few[2])
    assert predicted.shape == few[2].expression.shape
    assert np.isfinite(predicted).all()


def test_attention_is_that_of_torch():
    with torch.random.fork_rng(devices=[]):
        block = Block(16, 4, 0.1).eval()
        tokens = torch.randn(2, 7, 16)
        theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([block.query.weight, block.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([block.query.bias, block.key_value.bias]))
        theirs.out_proj.load_state_dict(block.out[0].state_dict())
        normed = block.norm(tokens)
        expected = tokens + theirs(normed, normed, normed)[0]
        expected = expected + block.feed_forward(expected)
        assert torch.allclose(block(tokens), expected, atol=1e-5)
        assert torch.allclose(block(tokens, tokens), expected, atol=1e-5)
        assert not torch.allclose(block(tokens, tokens[:, :3]), expected, atol=1e-3)


def test_positions_are_in_neighbour_distances_from_the_middle(arrays):
    slide = arrays[0]
    placed = positions(slide)
    assert np.allclose(placed.mean(0), 0, atol=1e-6)
    nearest = np.linalg.norm(placed[:, None] - placed, axis=2) + np.eye(len(placed))
    assert np.median(nearest.min(1)) == pytest.approx(1 / 32, rel=1e-3)


def test_a_spot_without_neighbours_is_its_own():
    graph = sp.csr_matrix(np.array([[0, 1, 1], [0, 0, 0], [0, 1, 0]]))
    spots = place_spots(np.zeros((3, 2), np.float32), graph, CPU)
    ends = spots.offsets.tolist()
    sources = [sorted(spots.sources[a:b].tolist()) for a, b in pairwise(ends)]
    assert sources == [[1, 2], [1], [1]]


def test_tiles_are_resized_and_the_user_keeps_his(arrays):
    slide = arrays[0]
    before = slide.tiles.copy()
    half, same = resize_tiles(slide, 14), resize_tiles(slide, 28)
    assert half.tiles.shape == (slide.n_spots, 14, 14, 3)
    means = [each.tiles.mean((1, 2)) for each in (half, same)]
    assert np.allclose(*means, atol=1)
    assert np.array_equal(same.tiles, before)
    assert np.array_equal(slide.tiles, before)
