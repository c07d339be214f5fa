from __future__ import annotations

import numpy as np
import pytest
import torch
from support import square

from stflow.model._out_of_fold import fit_regression, folds, out_of_fold
from stflow.model._regions import TensorSlide
from stflow.pp._neighbors import knn_graph


def slides(n: int) -> list[TensorSlide]:
    generator = torch.Generator().manual_seed(0)
    coords, (graph, _) = square(4), knn_graph(square(4), 8)
    return [
        TensorSlide(coords, graph, *torch.rand(2, 16, 3, generator=generator)) for _ in range(n)
    ]


@pytest.mark.parametrize(("n", "expected"), [(1, 5), (2, 3), (3, 4), (9, 5)])
def test_every_spot_is_in_one_fold(n: int, expected: int) -> None:
    *kept, held_out = slides(n + 1)
    groups = folds(kept, held_out)
    assert len(groups) == expected
    assert groups[-1] == [held_out]
    spots = torch.cat([slide.expression for group in groups for slide in group])
    every = torch.cat([slide.expression for slide in (*kept, held_out)])
    assert sorted(spots.flatten().tolist()) == sorted(every.flatten().tolist())


def test_no_spot_is_seen_by_its_own_regression() -> None:
    """The held-out slide's prediction is that of the others; its own labels change nothing."""
    *kept, held_out = slides(4)
    found = out_of_fold(kept, held_out, 0)
    assert [slide for slide, _ in found] == [*kept, held_out]
    expected = fit_regression(kept, 0)(held_out.features)
    assert torch.equal(found[-1][1], expected)
    other = TensorSlide(
        held_out.coords, held_out.adjacency, held_out.features, held_out.expression + 9
    )
    again = out_of_fold(kept, other, 0)
    assert torch.equal(again[-1][1], expected)
    assert not torch.allclose(again[0][1], found[0][1])


def test_blocks_of_one_slide_are_contiguous() -> None:
    kept, held_out = slides(2)
    for (block,) in folds([kept], held_out)[:-1]:
        assert np.ptp(block.coords, axis=0).min() == 0
