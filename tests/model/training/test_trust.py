from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import square, tensor_slide

from stflow._units import log_expression
from stflow.model.training import _trust
from stflow.model.training._trust import measure_trust
from stflow.model.training._unseen import Unseen, learn_from

GENES = ("told", "chance", "wrong")


def make_unseen(seed: int, *, clean: bool = True) -> Unseen:
    """A gene that follows the prediction, one that has nothing to do with it, one turned round."""
    rng = np.random.default_rng(seed)
    n = 144
    rate = np.exp(rng.normal(0, 0.6, size=(n, 3)))
    totals = np.exp(rng.normal(8.5, 0.4, n)).astype(int)
    counts = rng.poisson(rate * totals[:, None] / 400)
    measured = torch.tensor(log_expression(counts, totals, "cp10k"), dtype=torch.float32)
    predicted = torch.tensor(np.log(25 * rate), dtype=torch.float32)
    predicted[:, 1] = torch.tensor(rng.normal(3, 0.6, n))
    predicted[:, 2] = 6 - predicted[:, 2]
    slide = tensor_slide(square(12), torch.zeros(n, 1), measured)
    slide = replace(slide, totals=torch.tensor(totals, dtype=torch.float32))
    spread = torch.full((n, 3), 0.05)
    return Unseen(slide, predicted, spread, predicted, clean, seed)


def test_genes_that_are_told_apart_from_chance() -> None:
    table = measure_trust([make_unseen(seed) for seed in range(3)], GENES, "cp10k", 0)
    assert list(table.index) == list(GENES)
    assert table["fdr"]["told"] < 0.01 < table["fdr"]["chance"]
    assert table["fdr"]["wrong"] > 0.9
    assert table["pearson"]["told"] > 0.7 > 0.2 > abs(table["pearson"]["chance"])
    assert table["pearson"]["told"] == pytest.approx(table["ceiling"]["told"], abs=0.06)
    assert table["partial"]["told"] > 0.7
    assert table["coverage_90"].between(0.7, 1).all()
    assert (table["n_slides"] == 3).all()
    assert (table["n_spots"] == 3 * 144).all()


@pytest.mark.parametrize(
    ("patients", "expected"),
    [("ppq", ["2", "2", "01"]), ("ppp", ["12", "02", "01"]), (None, ["12", "02", "01"])],
)
def test_what_scores_a_slide_is_learned_from_other_patients(
    patients: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: where two patients are not known, from all other slides."""
    parts = [make_unseen(seed) for seed in range(3)]
    for number, patient in enumerate(patients or ()):
        parts[number] = replace(parts[number], slide=replace(parts[number].slide, patient=patient))
    taught = []

    def spy(others: list[Unseen], seed: int) -> tuple:
        taught.append("".join(str(i) for i, each in enumerate(parts) if each in others))
        return learn_from(others, seed)

    monkeypatch.setattr(_trust, "learn_from", spy)
    measure_trust(parts, GENES, "cp10k", 0)
    assert taught == expected


def test_spots_that_stopped_the_flow_give_no_figure() -> None:
    """Negative control: with others beside them, these give one."""
    table = measure_trust([make_unseen(0, clean=False)], GENES, "cp10k", 0)
    assert table[["pearson", "fdr", "ceiling"]].isna().all(axis=None)
    assert (table["n_spots"] == 0).all()
    mixed = measure_trust(
        [make_unseen(0, clean=False), make_unseen(1), make_unseen(2)], GENES, "cp10k", 0
    )
    assert (mixed["n_slides"] == 2).all()


def test_without_totals_depth_and_ceiling_are_unknown() -> None:
    each = make_unseen(0)
    nothing = replace(each.slide, totals=torch.full((144,), torch.nan))
    table = measure_trust([replace(each, slide=nothing)], GENES, "cp10k", 0)
    assert table[["partial", "ceiling"]].isna().all(axis=None)
    assert table["pearson"]["told"] > 0.7


def test_slides_are_scored_one_by_one() -> None:
    """A shift between slides is no correlation: the mean over slides, not over their spots."""
    parts = [make_unseen(seed) for seed in range(2)]
    moved = parts[1].slide.expression.clone()
    moved[:, 1] += 3
    flow = parts[1].flow.clone()
    flow[:, 1] += 3
    shifted = replace(
        parts[1],
        slide=replace(parts[1].slide, expression=moved),
        flow=flow,
        regression=flow,
    )
    table = measure_trust([parts[0], shifted], GENES, "counts", 0)
    each = [
        float(np.corrcoef(p.slide.expression[:, 1], p.flow[:, 1])[0, 1])
        for p in (parts[0], shifted)
    ]
    assert table["pearson"]["chance"] == pytest.approx(np.mean(each), abs=1e-5)
    assert table["fdr"]["chance"] > 0.05
