from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from stflow.model.training._folds import Masks, cut_in_halves, folds, held_out_name
from stflow.slide._slide import Slide


def make_slide(name: str, n: int, patient: str | None = None) -> Slide:
    coords = np.column_stack([np.arange(n) * 10.0, np.arange(n) % 2])
    graph = sp.csr_matrix(np.eye(n, k=1) + np.eye(n, k=-1))
    values = np.arange(n, dtype=np.float32)[:, None]
    return Slide(name, coords, graph, values, np.arange(n), values, ("A",), patient=patient)


def make_slides(names: str, n: int = 8, patients: str = "") -> list[Slide]:
    whose = patients or [None] * len(names)
    return [make_slide(name, n, patient) for name, patient in zip(names, whose, strict=True)]


def names(slides: list[Slide], found: list[Masks]) -> list[str]:
    return [held_out_name(slides, masks) for masks in found]


@pytest.mark.parametrize(
    ("n_flows", "expected"),
    [
        (1, ["e"]),
        (2, ["a, c, e", "b, d"]),
        (4, ["a, e", "b", "c", "d"]),
        (9, ["a", "b", "c", "d", "e"]),
    ],
)
def test_slides_take_turns(n_flows: int, expected: list[str]) -> None:
    slides = make_slides("abcde")
    assert names(slides, folds(slides, None, n_flows)) == expected


def test_or_the_one_that_is_named_is_held_out() -> None:
    slides = make_slides("abc")
    assert names(slides, folds(slides, "b", 4)) == ["b"]


@pytest.mark.parametrize(
    ("n_flows", "expected"),
    [
        (1, ["c"]),
        (2, ["a, c, d", "b, e"]),
        (3, ["a, d", "b, e", "c"]),
        (9, ["a, d", "b, e", "c"]),
    ],
)
def test_patients_take_turns_whole(n_flows: int, expected: list[str]) -> None:
    slides = make_slides("abcde", patients="pqrpq")
    assert names(slides, folds(slides, None, n_flows)) == expected


def test_with_the_slide_that_is_named_its_patient_is_held_out() -> None:
    slides = make_slides("abcd", patients="pqpq")
    assert names(slides, folds(slides, "c", 1)) == ["a, c"]
    one = make_slides("abcd", patients="pppp")
    assert names(one, folds(one, "c", 1)) == ["c"]


@pytest.mark.parametrize("patients", ["", "ppp", ("p", "p", None), ("p", "q", None)])
def test_slides_take_turns_where_two_patients_are_not_known(patients) -> None:
    slides = make_slides("abc", patients=patients)
    assert names(slides, folds(slides, None, 4)) == ["a", "b", "c"]


@given(
    patients=st.lists(st.sampled_from("pqrst"), min_size=2, max_size=9),
    n_flows=st.integers(1, 6),
    named=st.none() | st.integers(0, 8),
)
def test_no_patient_is_on_both_sides_of_a_fold(patients, n_flows, named) -> None:
    assume(len({*patients}) > 1)
    slides = [make_slide(f"s{i}", 8, patient) for i, patient in enumerate(patients)]
    validation = None if named is None else slides[named % len(slides)].name
    found = folds(slides, validation, n_flows)
    for masks in found:
        held = {slide.patient for slide, mask in zip(slides, masks, strict=True) if mask.any()}
        kept = {slide.patient for slide, mask in zip(slides, masks, strict=True) if not mask.all()}
        assert held
        assert kept
        assert not held & kept
    if validation is None and n_flows > 1:
        times = np.sum([[mask.all() for mask in masks] for masks in found], axis=0)
        assert (times == 1).all()


@pytest.mark.parametrize("n_flows", [2, 3, 4])
def test_blocks_of_a_single_slide(n_flows: int) -> None:
    """Each spot is held out once, in a strip across the slide."""
    slide = make_slide("a", 20)
    found = folds([slide], None, n_flows)
    assert len(found) == n_flows
    assert (np.sum([mask for (mask,) in found], axis=0) == 1).all()
    for (mask,) in found:
        assert np.ptp(np.flatnonzero(mask)) == mask.sum() - 1
    assert names([slide], found) == ["a block of a"] * n_flows


def test_one_end_of_a_single_slide() -> None:
    ((mask,),) = folds([make_slide("a", 20)], None, 1)
    assert sorted(np.flatnonzero(mask)) in ([0, 1, 2, 3], [16, 17, 18, 19])


def test_few_spots_make_few_blocks() -> None:
    assert len(folds([make_slide("a", 9)], None, 4)) == 3
    with pytest.raises(ValueError, match="4 to train on and 1 to validate on"):
        folds([make_slide("a", 5)], None, 4)


def test_slides_with_few_spots_are_never_held_out_alone() -> None:
    slides = [make_slide("a", 8), make_slide("b", 2), make_slide("c", 8)]
    assert names(slides, folds(slides, None, 4)) == ["a", "c"]


def test_unknown_slide_lists_the_known() -> None:
    with pytest.raises(KeyError, match="No slide to validate on 'z'; available: 'a', 'b'"):
        folds(make_slides("ab"), "z", 4)


@pytest.mark.parametrize("n_flows", [1, 4])
@pytest.mark.parametrize("sizes", [(1,), (8,), (5, 5), (5, 2)])
def test_too_few_spots(sizes: tuple[int, ...], n_flows: int) -> None:
    with pytest.raises(ValueError, match="Too few spots to fit"):
        folds([make_slide(f"s{i}", n) for i, n in enumerate(sizes)], None, n_flows)


def test_naming_the_only_slide_leaves_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="0 to train on"):
        folds([make_slide("a", 20)], "a", 4)


def test_a_slide_is_cut_in_the_middle_of_its_longer_axis_with_a_gap() -> None:
    coords = np.stack(np.meshgrid(np.arange(10), np.arange(4)), -1).reshape(-1, 2) * 100.0
    half = cut_in_halves(coords, 100.0)
    along = {value: sorted(set(coords[half == value, 0] / 100)) for value in (0, 1, -1)}
    ends = {tuple(along[0]), tuple(along[1])}
    assert ends == {(0, 1, 2, 3), (6, 7, 8, 9)}
    assert along[-1] == [4, 5]
    assert (cut_in_halves(coords[:5], 100.0) == -1).all()
