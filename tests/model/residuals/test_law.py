from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from support import square

from stflow.metrics import morans_i
from stflow.model.residuals._fields import LEVELS, Smoother, draw_fields
from stflow.model.residuals._law import ResidualLaw
from stflow.slide._graph import knn_graph

N_GENES, SIDE, N_SLIDES = 6, 20, 8


def shares(rough: float, smooth: float, level: int) -> np.ndarray:
    out = np.zeros((len(LEVELS), N_GENES))
    out[0], out[level] = rough, smooth
    return out


def made(
    *, smooth: float = 0.0, alike: float = 0.0, slope: float = 0.0, seed: int = 0, level: int = 2
) -> tuple[list, list[np.ndarray], list[np.ndarray]]:
    """Slides whose residuals follow a known law around a known mean far from zero."""
    rng, graph = np.random.default_rng(seed), knn_graph(square(SIDE), 8)[0]
    mixing = np.linalg.cholesky((1 - alike) * np.eye(N_GENES) + alike)
    predicted, measured, slide = [], [], Smoother(graph)
    for _ in range(N_SLIDES):
        mean = rng.uniform(5, 9, (SIDE**2, N_GENES))
        mixture = shares(1 - smooth, smooth, level)
        normal = draw_fields(slide, mixture, np.ones(len(LEVELS)), rng) @ mixing.T
        predicted.append(mean.astype(np.float32))
        measured.append(mean + normal * np.sqrt(0.25 + slope * mean))
    return [graph] * N_SLIDES, predicted, measured


def draw(law: ResidualLaw, graph, mean: np.ndarray, n: int = 20) -> np.ndarray:
    rng, at = np.random.default_rng(5), torch.from_numpy(mean)
    slide = Smoother(graph)
    fields = [torch.from_numpy(law.draw_normal(slide, rng)) for _ in range(n)]
    return np.stack([law.residual(at, field).numpy() for field in fields])


@pytest.mark.parametrize(("smooth", "alike"), [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.7, 0.7)])
def test_draws_are_as_alike_as_the_residuals(smooth: float, alike: float) -> None:
    graphs, predicted, measured = made(smooth=smooth, alike=alike)
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES))
    drawn = draw(law, graphs[0], predicted[0])
    true = np.concatenate(measured) - np.concatenate(predicted)
    np.testing.assert_allclose(drawn.std((0, 1)), true.std(0), rtol=0.1)
    of_genes = np.mean([np.corrcoef(each.T) for each in drawn], axis=0)
    np.testing.assert_allclose(of_genes, np.corrcoef(true.T), atol=0.1)
    of_spots = np.mean([morans_i(each, graphs[0]) for each in drawn])
    expected = np.mean(
        [morans_i(m - p, graphs[0]) for m, p in zip(measured, predicted, strict=True)]
    )
    assert of_spots == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize("smooth", [0.0, 0.5])
def test_halves_of_a_slide_differ_as_they_do_in_residuals(smooth: float) -> None:
    """Also where fields reach so far that much of them lies in the mean of a slide."""
    graphs, predicted, measured = made(smooth=smooth, level=3)
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES))
    away = [
        true - known
        for seed in range(5)
        for true, known in zip(*made(smooth=smooth, level=3, seed=seed)[:0:-1], strict=True)
    ]
    left = square(SIDE)[:, 0] < square(SIDE)[:, 0].mean()

    def differ(slides: np.ndarray) -> float:
        return float((slides[:, left].mean(1) - slides[:, ~left].mean(1)).std())

    found = differ(draw(law, graphs[0], predicted[0], n=40))
    assert found == pytest.approx(differ(np.stack(away)), rel=0.15)
    slides = draw(law, graphs[0], predicted[0])
    assert slides.mean(1).std() < 0.02  # of a slide as those of the fit, that is the shift


def test_the_variance_grows_with_the_mean_when_it_does() -> None:
    for slope in (0.0, 0.3):
        law = ResidualLaw.fit(*made(slope=slope), 0, groups=range(N_SLIDES))
        found = law.variance(torch.tensor([[5.0] * N_GENES, [9.0] * N_GENES])).numpy().mean(1)
        np.testing.assert_allclose(found, [0.25 + slope * 5, 0.25 + slope * 9], rtol=0.1)


def test_the_sd_covers_what_it_claims() -> None:
    graphs, predicted, measured = made()
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES))
    _, new_mean, new = made(seed=1)
    mean = torch.from_numpy(np.concatenate(new_mean))
    sd = (law.variance(mean).sqrt() * law.widening).numpy()
    size = np.abs(np.concatenate(new) - mean.numpy()) / sd
    for level in (0.5, 0.8, 0.9):
        assert (size < norm.ppf((1 + level) / 2)).mean() == pytest.approx(level, abs=0.02)


def test_normals_and_residuals_are_inverse() -> None:
    graphs, predicted, measured = made()
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES))
    law.left.fill_(0.5)
    mean = torch.from_numpy(predicted[0])
    normal = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    back = law.normal(mean, law.residual(mean, normal))
    assert torch.allclose(back, normal, atol=1e-3)


def test_flow_that_spreads_leaves_less_to_draw() -> None:
    graphs, predicted, measured = made()
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES))
    mean = torch.from_numpy(predicted[0])
    before = draw(law, graphs[0], predicted[0]).var()
    law.account_for(mean, law.variance(mean) / 4)
    assert torch.allclose(law.left, torch.tensor(0.75), atol=1e-3)
    assert draw(law, graphs[0], predicted[0]).var() == pytest.approx(0.75 * before, rel=0.02)
    law.account_for(mean, torch.zeros_like(mean))
    assert torch.equal(law.left, torch.ones(N_GENES))


def test_known_values_are_met_and_felt_nearby() -> None:
    graphs, predicted, measured = made(smooth=0.9, alike=0.9)
    law = ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES))
    known = np.array([SIDE * 10 + 10])
    nothing, slide = np.zeros((SIDE**2, N_GENES)), Smoother(graphs[0])
    field = law.condition(nothing, slide, known, np.full((1, N_GENES), 2.0))
    np.testing.assert_allclose(field[known], 2, atol=0.05)
    assert field[known + 1].min() > 0.5
    assert np.abs(field[0]).max() < 0.3


def test_less_is_unknown_near_what_is_known() -> None:
    """As much less as conditional draws vary less; nothing of a field without likeness."""
    known, middle = np.array([SIDE * 10 + 10]), np.array([SIDE * 10 + 11])
    for smooth in (0.9, 0.0):
        graphs, predicted, measured = made(smooth=smooth, alike=smooth)
        law, slide = (
            ResidualLaw.fit(graphs, predicted, measured, 0, groups=range(N_SLIDES)),
            Smoother(graphs[0]),
        )
        rng = np.random.default_rng(0)
        share = law.unknown(slide, known, rng)
        assert share.shape == (SIDE**2,)
        assert share[known] < 0.01
        assert share[0] == pytest.approx(1, abs=0.1)
        zero = np.zeros((1, N_GENES))
        drawn = [law.condition(law.draw_normal(slide, rng), slide, known, zero) for _ in range(99)]
        assert share[middle] == pytest.approx(np.square(drawn)[:, middle].mean(), abs=0.15)
        assert (share[middle] < 0.7) == (smooth > 0)


def test_many_genes_and_few_spots() -> None:
    rng, graph = np.random.default_rng(0), knn_graph(square(3), 8)[0]
    predicted = [rng.uniform(0, 3, (9, 40)).astype(np.float32) for _ in range(2)]
    measured = [np.maximum(mean + rng.normal(size=mean.shape), 0) for mean in predicted]
    measured[0][:, 0] = measured[1][:, 0] = 0
    law = ResidualLaw.fit([graph] * 2, predicted, measured, 0, groups=range(2))
    assert all(torch.isfinite(buffer).all() for buffer in law.state_dict().values())
    assert np.isfinite(draw(law, graph, predicted[0])).all()
