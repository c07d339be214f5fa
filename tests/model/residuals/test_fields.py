from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from support import archipelago, square

from stflow.model.residuals._fields import LEVELS, PROBES, Smoother, draw_fields, fit_shares
from stflow.slide._graph import knn_graph

N_LEVELS = len(LEVELS)
WHOLE, CENTRED = np.ones(N_LEVELS), np.zeros(N_LEVELS)


def grid(side: int = 12) -> Smoother:
    return Smoother(knn_graph(square(side), 8)[0])


def only(level: int, n_fields: int = 1) -> np.ndarray:
    shares = np.zeros((N_LEVELS, n_fields))
    shares[level] = 1
    return shares


def test_smoother_averages_a_spot_and_its_neighbours() -> None:
    graph = sp.csr_matrix(np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]]))
    expected = [[1 / 3, 1 / 3, 1 / 3], [0, 1 / 2, 1 / 2], [0, 0, 1]]
    np.testing.assert_allclose(Smoother(graph).average.toarray(), expected, rtol=1e-6)


def covariance(slide: Smoother, level: int) -> np.ndarray:
    """Covariance of a field of unit variance that was not centred, shape (N, N)."""
    power = np.linalg.matrix_power(slide.average.toarray().astype(float), LEVELS[level])
    expected = power @ power.T
    sd = np.sqrt(np.diag(expected))
    return expected / np.outer(sd, sd)


@pytest.mark.parametrize("kept", [1, 0.5, 0])
@pytest.mark.parametrize("level", range(N_LEVELS))
def test_fields_have_the_covariance_of_their_level_and_this_share_of_their_mean(
    level: int, kept: float
) -> None:
    slide, rng = grid(), np.random.default_rng(0)
    drawn = draw_fields(slide, only(level, 4000), np.full(N_LEVELS, kept), rng).astype(float)
    less = np.eye(slide.n_spots) - (1 - kept) / slide.n_spots
    expected = less @ covariance(slide, level) @ less
    np.testing.assert_allclose(drawn @ drawn.T / drawn.shape[1], expected, atol=0.12)
    mean = kept**2 * covariance(slide, level).mean()
    assert (drawn.mean(0) ** 2).mean() == pytest.approx(mean, rel=0.1, abs=1e-9)


@pytest.mark.parametrize("level", range(N_LEVELS))
def test_what_the_mean_of_a_slide_varies_by_is_known(level: int) -> None:
    for slide in (grid(), Smoother(archipelago(8))):
        assert slide.of_mean[level] == pytest.approx(covariance(slide, level).mean(), rel=1e-4)


def test_means_are_kept_as_far_as_they_vary_more_than_those_of_the_fit() -> None:
    """A slide like those of the fit keeps nothing, a spot alone nearly all."""
    held = grid().of_mean
    np.testing.assert_allclose(grid().kept(held), 0, atol=1e-3)
    np.testing.assert_array_equal(grid(20).kept(held), 0)
    small = grid(4)
    np.testing.assert_allclose(small.kept(held) ** 2 * small.of_mean + held, small.of_mean)
    alone = Smoother(sp.csr_matrix((1, 1))).kept(held)
    np.testing.assert_allclose(alone, np.sqrt(1 - held))


@pytest.mark.parametrize("side", [30, 40])
@pytest.mark.parametrize("shares", [only(3), np.array([[0.2], [0.2], [0.3], [0.3]])])
def test_unit_variance_on_the_mainland_on_its_border_on_an_island_and_alone(shares, side) -> None:
    """With up to ``PROBES`` spots, and with more."""
    slide = Smoother(archipelago(side))
    assert (slide.n_spots <= PROBES) == (side == 30)
    drawn = draw_fields(slide, np.repeat(shares, 3000, axis=1), WHOLE, np.random.default_rng(0))
    sd = np.sqrt(np.square(drawn.astype(float)).mean(1))
    np.testing.assert_allclose(sd, 1, atol=0.15)
    mainland, island, alone = np.split(sd, [side**2, side**2 + 9])
    border = mainland[(square(side) % (200 * (side - 1)) == 0).any(1)]
    assert len(border) == 4 * (side - 1)
    for part in (mainland, border, island, alone):
        assert part.mean() == pytest.approx(1, abs=0.05)


def test_a_mixture_adds_up() -> None:
    slide, shares = grid(), np.full((N_LEVELS, 2000), 1 / N_LEVELS)
    drawn = draw_fields(slide, shares, WHOLE, np.random.default_rng(0))
    assert (drawn.astype(float) ** 2).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("level", range(N_LEVELS))
def test_the_range_of_a_field_is_recognised(level: int) -> None:
    """Whatever its mean on each slide."""
    slides = [grid(20)] * 12
    rng = np.random.default_rng(1)
    fields = [draw_fields(slide, only(level, 30), CENTRED, rng) for slide in slides]
    fields = [each + rng.normal(size=30) for each in fields]
    shares = fit_shares(slides, fields).mean(1)
    assert shares.sum() == pytest.approx(1)
    assert shares.argmax() == level
    assert shares[level] > 0.6


def test_the_range_is_recognised_where_tissue_is_in_pieces() -> None:
    slides, rng = [Smoother(archipelago(8))] * 12, np.random.default_rng(1)
    for level in range(len(LEVELS)):
        fields = [draw_fields(slide, only(level, 100), CENTRED, rng) for slide in slides]
        assert fit_shares(slides, fields).mean(1)[level] > 0.6


def test_a_mixture_is_recognised() -> None:
    slides, rng = [grid(20)] * 12, np.random.default_rng(1)
    shares = np.repeat([[0.6], [0.0], [0.4], [0.0]], 30, axis=1)
    fields = [draw_fields(slide, shares, CENTRED, rng) for slide in slides]
    found = fit_shares(slides, fields).mean(1)
    assert found[0] == pytest.approx(0.6, abs=0.1)
    assert found[1] + found[2] + found[3] == pytest.approx(0.4, abs=0.1)


def test_a_range_that_a_slide_hardly_spans_is_not_underrated() -> None:
    """Half of its variance is in the mean of a slide, which residuals do not show."""
    slides, rng = [grid()] * 12, np.random.default_rng(1)
    assert grid().of_mean[3] > 0.5
    shares = np.repeat([[0.6], [0.0], [0.0], [0.4]], 50, axis=1)
    fields = [draw_fields(slide, shares, CENTRED, rng) for slide in slides]
    found = fit_shares(slides, fields, pooled=True)[:, 0]
    np.testing.assert_allclose(found, [0.6, 0, 0, 0.4], atol=0.1)


@pytest.mark.parametrize("pooled", [False, True])
def test_noise_has_no_range(pooled: bool) -> None:
    slides, rng = [grid()] * 2, np.random.default_rng(1)
    noise = [rng.normal(size=(slide.n_spots, 50)) for slide in slides]
    found = fit_shares(slides, noise, pooled=pooled)
    assert found.shape == (N_LEVELS, 1 if pooled else 50)
    assert found[0].mean() > (0.98 if pooled else 0.9)


def test_a_single_spot() -> None:
    slide = Smoother(sp.csr_matrix((1, 1)))
    shares = np.full((N_LEVELS, 3), 1 / N_LEVELS)
    drawn = draw_fields(slide, shares, WHOLE, np.random.default_rng(0))
    assert drawn.shape == (1, 3)
    assert np.isfinite(drawn).all()
