"""Maps on arrays: what is drawn where, of few spots and of very many."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stflow._sdata.reported import Canvas
from stflow.pl import draw_slide, draw_values
from stflow.pl._canvas import binned

LATTICE = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), -1).reshape(-1, 2) * 10.0


def drawn(canvas: Canvas, values: np.ndarray) -> Figure:
    figure = Figure()
    draw_values(figure.add_subplot(), canvas, values, Normalize(0, 1), cmap="viridis", label="x")
    return figure


def test_spots_lie_where_they_are_and_almost_touch():
    values = np.linspace(0, 1, 20)
    values[3] = np.nan
    axes = drawn(Canvas(centres=LATTICE), values).axes[0]
    (circles,) = axes.collections
    assert isinstance(circles, EllipseCollection)
    np.testing.assert_allclose(circles.get_offsets(), LATTICE)
    np.testing.assert_allclose(2 * circles._widths, 9.2)
    assert circles.get_array().mask.tolist() == [i == 3 for i in range(20)]
    assert axes.get_xlim()[0] <= -5
    assert axes.get_xlim()[1] >= 45
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_the_mean_of_very_many_is_drawn_in_squares():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (30_000, 2))
    values = (points[:, 0] > 50).astype(float)
    values[:100] = np.nan
    axes = drawn(Canvas(centres=points), values).axes[0]
    assert not axes.collections
    shown = axes.images[0].get_array()
    known = ~shown.mask
    left, right = np.split(np.arange(shown.shape[1]), 2)
    assert shown[:, left][known[:, left]].mean() < 0.02
    assert shown[:, right][known[:, right]].mean() > 0.98


def test_binned_means_of_known_points():
    points = np.array([[1.0, 1.0], [1.2, 1.2], [99.0, 49.0]])
    found = binned(points, np.array([1.0, 3.0, np.nan]), (0.0, 0.0, 100.0, 50.0))
    assert found.shape == (160, 320)
    assert found.count() == 1
    assert found.compressed().tolist() == [2.0]


def test_tissue_and_artifacts_are_named_beside_the_picture():
    cover = {"pen": shapely.box(2, 2, 4, 4), "fold": shapely.Polygon()}
    image = np.full((10, 10, 3), 200, np.uint8)
    whole = Canvas(image=image, size=(10, 10), tissue=shapely.box(1, 1, 9, 9), artifacts=cover)
    axes = Figure().add_subplot()
    draw_slide(axes, whole)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["tissue", "pen"]
    bare = Figure().add_subplot()
    draw_slide(bare, Canvas(image=image, size=(10, 10)))
    assert bare.get_legend() is None


def test_spots_without_a_place_are_refused():
    with pytest.raises(ValueError, match="without a place"):
        drawn(Canvas(), np.ones(3))
