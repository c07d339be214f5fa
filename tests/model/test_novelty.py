from __future__ import annotations

import numpy as np
import pytest
import torch
from support import square

from stflow.model import _novelty
from stflow.model._novelty import Novelty
from stflow.slide import PickedRows
from stflow.slide._graph import knn_graph

WIDTH, N_CHANNELS = 15, 40
GRAPH = knn_graph(square(WIDTH), 8)[0]
LOADINGS = np.random.default_rng(7).normal(size=(3, N_CHANNELS))
NOISE = 0.1


def embed(seed: int, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Three kinds of tissue move all channels, which keep a little noise of their own."""
    rng = np.random.default_rng(seed)
    tissue = rng.normal(size=(WIDTH**2, 3))
    noise = NOISE * rng.normal(size=(WIDTH**2, N_CHANNELS))
    return (tissue @ LOADINGS + noise + shift).astype(np.float32)


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    slides = [embed(seed) for seed in range(6)]
    found = [
        Novelty.fit([*slides[:i], *slides[i + 1 :]], 0).squares(slide, GRAPH)
        for i, slide in enumerate(slides)
    ]
    fitted = Novelty.fit(slides, 0)
    fitted.calibrate(found, len(found))
    return fitted


def test_a_slide_of_the_same_kind_is_not_new(novelty: Novelty) -> None:
    found = novelty(embed(99), GRAPH)
    assert found.shape == (WIDTH**2,)
    assert float((found < 1).float().mean()) > 0.95


def test_a_shift_against_the_relations_is_new_and_as_large_a_one_along_them_is_not(
    novelty: Novelty,
) -> None:
    """Half a standard deviation of each channel, in a direction that tissue takes, or in none."""
    size = 0.5 * np.linalg.norm(LOADINGS)
    along = LOADINGS[0] / np.linalg.norm(LOADINGS[0])
    against = np.random.default_rng(3).normal(size=N_CHANNELS)
    against -= np.linalg.pinv(LOADINGS) @ (LOADINGS @ against)
    against /= np.linalg.norm(against)
    own = novelty(embed(99), GRAPH)
    tissue, stain = (novelty(embed(99, size * to), GRAPH) for to in (along, against))
    assert float(stain.min()) > 1
    assert float(stain.median()) > 3 * float(own.quantile(0.9))
    assert float(tissue.median()) < 1.5 * float(own.median())


def test_one_relation_by_hand() -> None:
    """Two channels that are one another: what is left of each is half of their difference."""
    rng = np.random.default_rng(0)
    tissue, noise = rng.normal(size=(2, 4000))
    embedding = np.stack([tissue + 0.1 * noise, tissue - 0.1 * noise], 1).astype(np.float32)
    novelty = Novelty.fit([embedding], 0)
    lonely = knn_graph(np.zeros((1, 2)), 8)[0]
    spots, slide = novelty.squares(embedding[:1] + np.float32([0.3, -0.3]), lonely)
    expected = (noise[0] + 3) ** 2 / noise.var()
    # both are the same direction, of variance 2 beside a ridge of 0.1, over 2 relations
    assert float(spots) == pytest.approx(expected * 2 / 2.1 / 2, rel=0.02)
    assert float(slide) == pytest.approx(max(float(spots) - 1, 0), rel=1e-5)


def test_a_mark_on_a_third_of_the_slide_leaves_the_rest(novelty: Novelty) -> None:
    embedding = embed(99)
    marked = np.arange(WIDTH**2) < WIDTH**2 // 3
    embedding[marked] += 5 * np.random.default_rng(3).normal(size=N_CHANNELS).astype(np.float32)
    far = GRAPH[:, marked].getnnz(axis=1)[~marked] == 0
    found = novelty(embedding, GRAPH).numpy()
    assert (found[marked] > 1).all()
    assert np.median(found[~marked][far]) < 1


def test_a_turned_slide_is_as_new(novelty: Novelty) -> None:
    """Spots in another order, as after a turn of the slide."""
    order = np.random.default_rng(1).permutation(WIDTH**2)
    embedding = embed(99)
    turned = novelty(embedding[order], GRAPH[order][:, order])
    assert torch.allclose(turned, novelty(embedding, GRAPH)[order], atol=1e-5)


def test_rows_are_read_in_blocks(novelty: Novelty, monkeypatch) -> None:
    embedding, largest = embed(99), 0

    class Source:
        shape = embedding.shape

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            nonlocal largest
            largest = max(largest, len(rows))
            return embedding[rows]

    whole = novelty(embedding, GRAPH)
    monkeypatch.setattr("stflow.slide._rows.BLOCK", 50)
    parts = novelty(PickedRows(Source(), np.arange(len(embedding))), GRAPH)
    assert torch.allclose(whole, parts, atol=1e-6)
    assert largest == 50


def test_relations_come_from_some_spots_of_each_slide(monkeypatch) -> None:
    monkeypatch.setattr(_novelty, "MAX_SPOTS", 90)
    slides, read = [embed(0), embed(1)], []

    class Source:
        def __init__(self, rows: np.ndarray) -> None:
            self.rows, self.shape = rows, rows.shape

        def __getitem__(self, at: np.ndarray) -> np.ndarray:
            read.append(len(at))
            return self.rows[at]

    Novelty.fit([Source(each) for each in slides], 0)
    assert read == [45, 45]


@pytest.mark.parametrize("width", [1, 2, 6])
def test_few_channels(width: int) -> None:
    rng = np.random.default_rng(0)
    novelty = Novelty.fit([rng.normal(size=(64, width))], 0)
    novelty.calibrate([novelty.squares(rng.normal(size=(WIDTH**2, width)), GRAPH)], 1)
    own, away = (
        novelty(rng.normal(size=(WIDTH**2, width)) + off, GRAPH).median() for off in (0, 9)
    )
    assert own < 1 < away


def test_an_embedding_that_does_not_vary_has_nothing_new() -> None:
    novelty = Novelty.fit([np.ones((64, 4))], 0)
    assert novelty(np.ones((WIDTH**2, 4)), GRAPH).max() == 0


@pytest.mark.parametrize(("few", "many"), [(2, 20)])
def test_few_groups_widen_the_reach(novelty: Novelty, few: int, many: int) -> None:
    """As many spots of fewer patients say less of the next one."""
    found = [novelty.squares(embed(seed, 0.02 * seed), GRAPH) for seed in range(20, 30)]
    reached = []
    for n_groups in (few, many):
        other = Novelty(*reversed(novelty.relations.shape))
        other.load_state_dict(novelty.state_dict())
        other.calibrate(found, n_groups)
        novel = torch.cat([other(embed(seed, 0.02 * seed), GRAPH) for seed in range(20, 30)])
        assert float((novel < 1).float().mean()) >= 0.95 - 1e-6
        reached.append(float(other.reach))
    assert reached[0] > 1.2 * reached[1]
