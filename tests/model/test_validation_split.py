from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from stflow._slide import Slide
from stflow.model._validation_split import split


def make_slide(name: str, n: int) -> Slide:
    coords = np.column_stack([np.arange(n) * 10.0, np.arange(n) % 2])
    graph = sp.csr_matrix(np.eye(n, k=1) + np.eye(n, k=-1))
    values = np.arange(n, dtype=np.float32)[:, None]
    return Slide(name, coords, graph, values, np.arange(n), values, ("A",))


def test_the_last_slide_is_held_out() -> None:
    slides = [make_slide(name, 8) for name in "abc"]
    training, held_out = split(slides, None)
    assert [slide.name for slide in training] == ["a", "b"]
    assert held_out.name == "c"


def test_or_the_one_that_is_named() -> None:
    training, held_out = split([make_slide(name, 8) for name in "abc"], "a")
    assert ([slide.name for slide in training], held_out.name) == (["b", "c"], "a")


def test_one_end_of_a_single_slide_without_an_edge_across() -> None:
    slide = make_slide("a", 20)
    (training,), held_out = split([slide], None)
    assert held_out.n_spots == 4
    assert sorted([*training.rows, *held_out.rows]) == list(range(20))
    assert np.ptp(held_out.coords[:, 0]) == 30
    assert training.graph.nnz == 2 * 15
    assert held_out.graph.nnz == 2 * 3
    assert (held_out.expression[:, 0] == held_out.rows).all()


def test_unknown_slide_lists_the_known() -> None:
    with pytest.raises(KeyError, match="No slide to validate on 'z'; available: 'a', 'b'"):
        split([make_slide(name, 8) for name in "ab"], "z")


@pytest.mark.parametrize("sizes", [(1,), (9,), (5, 8), (8, 2)])
def test_too_few_spots(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Too few spots to fit"):
        split([make_slide(f"s{i}", n) for i, n in enumerate(sizes)], None)


def test_naming_the_only_slide_leaves_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="0 to train on"):
        split([make_slide("a", 20)], "a")
