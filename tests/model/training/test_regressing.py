from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import mean_pearson, square, tensor_slide

from stflow.model.training._common import RANK, CommonDirections
from stflow.model.training._crops import TensorSlide
from stflow.model.training._regressing import (
    PENALTIES,
    _LeftOut,
    fit_path,
    fit_regression,
    turns,
)

N_GENES, N_OTHERS = 10, 60


def law(seed: int, n_slides: int = 3, noise: float = 2.0) -> tuple[list[TensorSlide], np.ndarray]:
    """Slides whose genes mix three programs of the features, and the truth of the last."""
    rng = np.random.default_rng(0)
    mixing, axes = rng.normal(size=(3, N_GENES + N_OTHERS)), rng.normal(size=(12, 3))
    rng, slides = np.random.default_rng(seed), []
    for _ in range(n_slides):
        x = rng.normal(size=(100, 12)).astype(np.float32)
        truth = np.tanh(x @ axes / 3) @ mixing
        y = torch.tensor(truth + noise * rng.normal(size=truth.shape), dtype=torch.float32)
        slide = tensor_slide(square(10), torch.from_numpy(x), y[:, :N_GENES])
        slides.append(replace(slide, auxiliary=y[:, N_GENES:]))
    return slides, truth[:, :N_GENES]


def score(slides: list[TensorSlide], held_out: TensorSlide, truth: np.ndarray) -> float:
    return mean_pearson(fit_regression(slides, 0)(held_out.features).numpy(), truth)


def test_genes_learn_from_others_of_the_same_programs() -> None:
    """Negative control: others that are noise teach nothing."""
    found = []
    for seed in range(1, 5):
        (*slides, held_out), truth = law(seed, 4)
        alone = [replace(each, auxiliary=each.auxiliary[:, :0]) for each in slides]
        generator = torch.Generator().manual_seed(0)
        noise = [
            replace(each, auxiliary=torch.randn(each.auxiliary.shape, generator=generator))
            for each in slides
        ]
        found.append([score(some, held_out, truth) for some in (slides, alone, noise)])
    together, by_themselves, beside_noise = np.mean(found, axis=0)
    assert together > by_themselves + 0.01
    assert beside_noise < together - 0.01


def test_a_spot_that_is_not_trusted_changes_little() -> None:
    (*slides, held_out), _ = law(0, 4)
    first = slides[0]
    spoiled = first.expression.clone()
    spoiled[0] += 50
    weights = torch.ones(first.n_spots)
    weights[0] = 1e-4
    trusted = replace(first, expression=spoiled)
    versions = [first, replace(trusted, weights=weights), trusted]
    clean, light, heavy = (
        fit_regression([each, *slides[1:]], 0)(held_out.features) for each in versions
    )
    assert (light - clean).abs().max() < 0.1 < (heavy - clean).abs().max()


def test_the_penalty_follows_the_noise() -> None:
    """What is chosen is the least error on slides left out, and more noise asks for more."""
    chosen = []
    for noise in (0.05, 4.0):
        left_out = _LeftOut.of(law(0, noise=noise)[0], 0)
        chosen.append(left_out.best.penalty)
        assert left_out.best.error == min(left_out.predict(each).error for each in PENALTIES)
    assert chosen[0] < chosen[1]


def test_slides_left_out_are_not_seen() -> None:
    """Another level of all genes on the first slide moves predictions of the others alone."""
    slides, _ = law(0)
    other = replace(slides[0], expression=slides[0].expression + 9)
    left_out = [_LeftOut.of([each, *slides[1:]], 0) for each in (slides[0], other)]
    one, two = (each.predict(1.0).panel for each in left_out)
    moved = (two - one).mean(1)
    assert np.abs(moved[:100]).mean() < 0.3
    assert moved[100:].mean() > 1
    of_one, of_two = (each.paths[0].predict(each.lifted[0], 1.0) for each in left_out)
    assert np.array_equal(of_one, of_two)


def test_all_spots_are_predicted_by_what_left_them_out(monkeypatch) -> None:
    """Also where penalty and directions are learned from some of the spots alone."""
    slides, truth = law(0)
    left_out = _LeftOut.of(slides, 0)
    found = left_out.unseen(slides).numpy()
    np.testing.assert_allclose(found, left_out.best.panel, atol=1e-4)
    monkeypatch.setattr("stflow.slide._parts.MAX_SPOTS", 150)
    few = _LeftOut.of(slides, 0)
    assert few.best.panel.shape == (150, N_GENES)
    by_few = few.unseen(slides).numpy()
    assert by_few.shape == found.shape
    assert mean_pearson(by_few[200:], truth) > 0.8 * mean_pearson(found[200:], truth)
    other = replace(slides[0], expression=slides[0].expression.flip(0))
    moved = _LeftOut.of([other, *slides[1:]], 0).unseen([other, *slides[1:]]).numpy() - by_few
    assert np.abs(moved[:100]).mean() < 0.5 * np.abs(moved[100:]).mean()


def of_patients(slides: list[TensorSlide], patients: str) -> list[TensorSlide]:
    return [replace(each, patient=one) for each, one in zip(slides, patients, strict=True)]


def test_patients_are_left_out_whole() -> None:
    """Other expression of a patient's other slide changes no prediction of the first, either.

    Negative control: where they are of two patients, it does.
    """
    slides, _ = law(0, 4)
    for patients, seen in (("pqpq", False), ("pqrq", True)):
        known = of_patients(slides, patients)
        other = replace(known[2], expression=known[2].expression + 9)
        one, two = (
            _LeftOut.of([*known[:2], each, known[3]], 0).predict(1.0).panel
            for each in (known[2], other)
        )
        moved = np.abs((two - one).mean(1))
        assert (moved[:100].mean() > 0.5) == seen
        assert moved[100:200].mean() > 0.5
    assert turns(of_patients(slides, "pqpq")) == [0, 1, 0, 1]
    assert turns(of_patients(slides, "pppp")) == turns(slides) == [0, 1, 2, 3]


@given(patients=st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=12))
def test_no_patient_is_on_both_sides_of_a_turn(patients: list[str]) -> None:
    slide = law(0, 1)[0][0]
    taken = turns([replace(slide, patient=patient) for patient in patients])
    assert sorted({*taken}) == list(range(max(taken) + 1))
    assert max(taken) >= 1
    if len({*patients}) > 1:
        assert len({*zip(patients, taken, strict=True)}) == len({*patients})


def test_a_single_slide_is_cut_into_blocks() -> None:
    slides, _ = law(0, 1)
    assert fit_regression(slides, 0)(slides[0].features).shape == (100, N_GENES)


def test_few_genes_are_regressed_as_they_are() -> None:
    slides = [
        replace(each, expression=each.expression[:, :3], auxiliary=each.auxiliary[:, :0])
        for each in law(0)[0]
    ]
    left_out = _LeftOut.of(slides, 0)
    path = fit_path(slides, 0)
    expected = path.predict(path.lift(slides[0].features.numpy()), left_out.best.penalty)
    found = fit_regression(slides, 0)(slides[0].features).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


@given(seed=st.integers(0, 100))
def test_directions_give_back_what_they_span(seed: int) -> None:
    """A panel that is a mixture of few directions of the predictions is found without error."""
    rng = np.random.default_rng(seed)
    programs = rng.normal(size=(200, 4))
    unseen = programs @ rng.normal(size=(4, 40)) + 3
    panel = programs @ rng.normal(size=(4, 5)) - 1
    common = CommonDirections(unseen, panel, rng.uniform(0.5, 2, 200))
    back, intercept = common.way_back()
    found = unseen @ back + intercept
    assert common.axes.shape == (40, RANK)
    assert np.abs(found - panel).max() < 0.02 * np.abs(panel).max()
