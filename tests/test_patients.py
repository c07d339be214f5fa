"""Slides told apart by patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import square

from stflow.slide import by_patient, knn_graph, left_out_together
from stflow.slide._slide import Slide


def make_slide(side: int = 4) -> Slide:
    coords, rng = square(side), np.random.default_rng(0)
    n = len(coords)
    return Slide(
        "s",
        coords,
        knn_graph(coords, 4)[0],
        rng.normal(size=(n, 3)),
        np.arange(n)[::-1].copy(),
        rng.normal(size=(n, 2)),
        ("a", "b"),
        totals=rng.uniform(size=n),
        auxiliary=rng.normal(size=(n, 5)),
    )


def test_a_slide_of_one_patient_stays_whole() -> None:
    slide = make_slide()
    (found,) = by_patient(slide, np.array(["anna"] * 16, dtype=object))
    assert (found.name, found.patient) == ("s", "anna")
    assert found.embedding is slide.embedding


@given(patients=st.lists(st.sampled_from(["anna", "otto", "1"]), min_size=16, max_size=16))
def test_parts_hold_each_spot_once_and_its_own_values(patients: list[str]) -> None:
    """Rows of the table say whose a spot is, also where the slide has them in another order."""
    slide, table = make_slide(), np.array(patients, dtype=object)
    parts = by_patient(slide, table)
    assert sorted(np.concatenate([part.rows for part in parts])) == list(range(16))
    assert [part.patient for part in parts] == list(dict.fromkeys(patients[::-1]))
    for part in parts:
        assert {*table[part.rows]} == {part.patient}
        assert part.name == ("s" if len(parts) == 1 else f"s/{part.patient}")
        at = 15 - part.rows
        for values in ("coords", "embedding", "expression", "totals", "auxiliary"):
            assert np.array_equal(getattr(part, values), getattr(slide, values)[at])
        assert (part.graph != slide.graph[at][:, at]).nnz == 0


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        ("pqp", [0, 1, 0]),
        ("qrp", [0, 1, 2]),
        ("ppp", [0, 1, 2]),
        ("p", [0]),
        ([None, None], [0, 1]),
        (["p", "q", None, "p"], [0, 1, 2, 3]),
    ],
)
def test_what_is_left_out_together(patients: list[str | None], expected: list[int]) -> None:
    assert left_out_together(patients) == expected
