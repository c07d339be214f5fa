from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import tensor_slide

from stflow.flow import make_prior
from stflow.model.training._crops import Batch, Crops, Draws, Shares, TensorSlide


def make_slide(side: int, value: float, n_genes: int = 3) -> TensorSlide:
    coords = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 100.0
    n = len(coords)
    features = torch.arange(n)[:, None].float()
    return tensor_slide(coords, features, torch.full((n, n_genes), value))


def make_crops(seed: int = 0) -> Crops:
    return Crops([make_slide(8, 5.0), make_slide(6, 7.0)], make_prior("zero", n_genes=3), seed)


def test_regions_are_contiguous_and_of_any_size() -> None:
    crops = make_crops()
    sizes = []
    for draw in range(0, 200, 2):
        crop = crops[draw]
        sizes.append(crop.graph.n_spots)
        spots = crops.slides[0].coords[crop.features[:, 0].long().numpy()]
        distance = np.linalg.norm(crops.slides[0].coords[:, None] - spots[None], axis=2)
        spread = np.linalg.norm(spots - spots.mean(0), axis=1).max()
        assert spread <= 1.5 * np.sqrt(len(spots)) * 100
        assert len(np.unique(distance.argmin(0))) == len(spots)
    assert min(sizes) < 8
    assert max(sizes) > 56
    assert 22 < np.mean(sizes) < 42


def test_point_on_the_path_is_t_times_the_data_from_a_zero_prior() -> None:
    crops = make_crops()
    for draw in range(20):
        crop = crops[draw]
        assert torch.allclose(crop.noisy, crop.t[:, None] * crop.expression)
        assert crop.t.unique().numel() == 1
        assert 0 <= crop.t[0] < 1


def test_slides_take_turns() -> None:
    crops = make_crops()
    assert [crops[i].expression[0, 0].item() for i in range(4)] == [5, 7, 5, 7]


def test_a_draw_depends_on_its_number_alone() -> None:
    first, second = make_crops()[11], make_crops()[11]
    assert torch.equal(first.noisy, second.noisy)
    assert torch.equal(first.graph.geometry, second.graph.geometry)
    other = make_crops(seed=1)[11]
    assert other.graph.n_spots != first.graph.n_spots or not torch.equal(other.t, first.t)


def test_draws_never_repeat() -> None:
    draws, drawn = Draws(3), []
    for epoch in (0, 1, 5):
        draws.set_epoch(epoch)
        drawn += draws
    assert drawn == [0, 1, 2, 3, 4, 5, 15, 16, 17]
    assert len(draws) == 3


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_processes_draw_each_crop_once(n_draws: int, batch_size: int, n_ranks: int) -> None:
    """And take the same number of steps; what does not count is a crop of the same step."""
    draws = Draws(n_draws)
    ranks = [SimpleNamespace(global_rank=rank, world_size=n_ranks) for rank in range(n_ranks)]
    shares = [Shares(draws, batch_size, rank) for rank in ranks]
    for number, step in enumerate(zip(*shares, strict=True)):
        whole = range(number * batch_size, min((number + 1) * batch_size, n_draws))
        counted = [s for s, share in zip(step, shares, strict=True) if share.counts(number)]
        assert sorted(draw for drawn in counted for draw in drawn) == list(whole)
        assert all(drawn and set(drawn) <= set(whole) for drawn in step)
        assert max(map(len, counted)) - min(map(len, counted)) <= 1
    assert number + 1 == -(-n_draws // batch_size) == len(shares[0])


def test_batch_has_no_edges_between_crops() -> None:
    crops = make_crops()
    items = [crops[i] for i in range(3)]
    batch = Batch.collate(items)
    owner = torch.repeat_interleave(
        torch.arange(3), torch.tensor([item.graph.n_spots for item in items])
    )
    assert torch.equal(owner[batch.graph.target], owner[batch.graph.source])
    assert batch.graph.target.numel() == sum(item.graph.target.numel() for item in items)
    assert batch.to(torch.device("meta")).noisy.device.type == "meta"


def test_the_middle_of_a_slide() -> None:
    slide = make_slide(9, 1.0)
    rows = slide.middle(9)
    assert rows.tolist() == [30, 31, 32, 39, 40, 41, 48, 49, 50]
    assert slide.subset(rows).adjacency.shape == (9, 9)
    assert slide.middle(81).tolist() == list(range(81))


def test_what_a_regression_says_stands_beside_the_features() -> None:
    slide = make_slide(8, 5.0)
    said = torch.arange(64 * 3).reshape(64, 3).float()
    crop = Crops([replace(slide, regressed=said)], make_prior("zero", n_genes=3), 0)[0]
    rows = crop.features[:, 0].long()
    assert torch.equal(crop.features[:, 1:], said[rows])
