"""Sums over outlines against sums taken polygon by polygon, and the walk that reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from tqdm.auto import tqdm

from stflow.embedding import AreaJob, Outlines, encode_area
from stflow.embedding import _outlines as module
from stflow.embedding import _walk as walk
from stflow.embedding._cache import VectorCache
from stflow.embedding._outlines import Shares, covered
from stflow.encoders import probe
from stflow.encoders._encoder import Encoder
from stflow.encoders._pooling import StagePool
from stflow.encoders._stages import Stage
from stflow.images import Level

SIDE = 400


def outlines_of(polygons) -> Outlines:
    return Outlines.of(np.asarray(polygons))


def fabricated(rng: np.random.Generator, n: int, side: float) -> np.ndarray:
    """Round and angular cells, some of two pieces, some with a hole."""
    centres = rng.uniform(0, side, (n, 2))
    cells = shapely.buffer(shapely.points(centres), rng.uniform(0.3, side / 12, n), quad_segs=3)
    cells[::3] = shapely.difference(cells[::3], shapely.buffer(shapely.points(centres[::3]), 0.25))
    low, high = centres[1::3] + side / 9, centres[1::3] + side / 7
    cells[1::3] = shapely.union(cells[1::3], shapely.box(*low.T, *high.T))
    return cells


@pytest.fixture(scope="module")
def polygons() -> np.ndarray:
    return fabricated(np.random.default_rng(2), 45, SIDE)


@pytest.fixture(scope="module")
def centres(polygons) -> np.ndarray:
    return shapely.get_coordinates(shapely.centroid(polygons))


@pytest.fixture(scope="module")
def picture(waves) -> np.ndarray:
    return waves(SIDE)


def encoder_of(*stages: nn.Module) -> Encoder:
    pool = StagePool(nn.ModuleList(stages)).eval().requires_grad_(False)
    return Encoder("stages", pool, "0" * 64, pooling="stages")


@pytest.fixture(scope="module")
def colours() -> Encoder:
    """Whose one map is the colours of the pixels."""
    same = nn.Conv2d(3, 3, 1, bias=False)
    same.weight = nn.Parameter(torch.eye(3)[:, :, None, None])
    return encoder_of(Stage(same))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Two stages, of strides 2 and 4."""
    torch.manual_seed(0)
    first = Stage(nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.ReLU())
    return encoder_of(first, Stage(nn.Conv2d(5, 4, 5, stride=2, padding=2), nn.ReLU()))


def read(picture, encoder, polygons, *, centres=None, widths=(20.0,), piece=64, **how):
    """Vectors of boxes and, last, of outlines, shape (n, boxes + 1, F)."""
    if centres is None:
        centres = shapely.get_coordinates(shapely.centroid(polygons))
    job = AreaJob(
        np.arange(len(centres)),
        [Level(picture, (1.0, 1.0))],
        centres,
        1.0,
        "he",
        outlines_of(polygons),
    )
    shape = (len(centres), len(widths) + 1, encoder.width(64))
    vectors = np.full(shape, np.nan, dtype=np.float32)
    given: dict[str, Any] = {"num_workers": 0, "cache": None, "bar": tqdm(disable=True)} | how
    encoders = given.pop("encoders", [encoder])
    reaches = [probe(each.stages) for each in encoders]
    given |= {"widths_px": widths, "piece": piece}
    encode_area([job], encoders, reaches, vectors=vectors, columns=range(shape[1]), **given)
    assert np.isfinite(vectors).all()
    return vectors


def signed(corners: np.ndarray, joins: np.ndarray) -> float:
    """Area by x dy along all rings, from left to right of their edges."""
    at = np.flatnonzero(joins)
    begin, end = corners[at], corners[at + 1]
    return float(-((begin[:, 0] + end[:, 0]) / 2 * (end[:, 1] - begin[:, 1])).sum())


def test_rings_add_up_to_the_area_of_what_they_enclose():
    ring = shapely.difference(shapely.box(0, 0, 10, 10), shapely.box(2, 2, 4, 4))
    two = shapely.union(shapely.box(20, 0, 21, 1), ring)
    shapes = np.array([ring, two, shapely.box(5, 5, 6, 8)])
    found = Outlines.of(shapes)
    assert found.starts[0] == 0
    assert found.starts[-1] == len(found.corners) == len(found.joins)
    for first, last, area in zip(
        found.starts[:-1], found.starts[1:], shapely.area(shapes), strict=True
    ):
        part = slice(first, last)
        assert signed(found.corners[part], found.joins[part]) == pytest.approx(area)
        assert not found.joins[part][-1]
    assert (~found.joins).sum() == 2 + 3 + 1
    np.testing.assert_array_equal(Outlines.of(shapely.reverse(shapes)).starts, found.starts)
    backwards = Outlines.of(shapely.reverse(shapes))
    assert signed(backwards.corners, backwards.joins) == pytest.approx(shapely.area(shapes).sum())


def covered_pixels(polygons, corner, stride, shape) -> list[Shares]:
    """What each chunk of the polygons covers, numbered as in all of them."""
    outlines, found, before = outlines_of(polygons).seen_from(corner, stride), [], 0
    for n, shares in covered(outlines, shape):
        found.append(shares._replace(outline=shares.outline + before))
        before += n
    assert before == len(polygons)
    return found


@pytest.mark.parametrize("stride", [1, 4, 16])
def test_shares_are_those_of_polygons_cut_by_pixels(polygons, stride):
    corner, n = (-32, 16), 384 // stride
    total = np.zeros(len(polygons))
    for found in covered_pixels(polygons, corner, stride, (n, n)):
        y, x = np.divmod(found.pixel, n)
        x, y = x * stride + corner[0], y * stride + corner[1]
        pixels = shapely.box(x, y, x + stride, y + stride)
        cut = shapely.area(shapely.intersection(pixels, polygons[found.outline])) / stride**2
        np.testing.assert_allclose(found.share, cut, atol=1e-10)
        total += np.bincount(found.outline, found.share, len(polygons))
    on_map = shapely.clip_by_rect(polygons, *corner, corner[0] + 384, corner[1] + 384)
    np.testing.assert_allclose(total, shapely.area(on_map) / stride**2, atol=1e-8)


def test_few_at_a_time_are_the_same(polygons, monkeypatch):
    (whole,) = covered_pixels(polygons, (0, 0), 2, (200, 200))
    monkeypatch.setattr(module, "MOST_PIXELS", 900)
    parts = covered_pixels(polygons, (0, 0), 2, (200, 200))
    assert len(parts) > 3
    for each, found in zip(whole, map(np.concatenate, zip(*parts, strict=True)), strict=True):
        np.testing.assert_allclose(found, each, atol=1e-12)


@settings(max_examples=60)
@given(
    corners=st.lists(
        st.tuples(st.floats(0.01, 15.99), st.floats(0.01, 15.99)), min_size=3, max_size=9
    ),
    shift=st.tuples(st.integers(0, 16), st.integers(0, 16)),
)
def test_shifted_by_whole_pixels_other_pixels_have_the_same_shares(corners, shift):
    hull = shapely.convex_hull(shapely.multipoints(corners))
    if hull.area < 1e-2:
        return
    moved = shapely.transform(hull, lambda xy: xy + np.array(shift) * 0.5)
    (here,) = covered_pixels([hull], (0, 0), 0.5, (64, 64))
    (there,) = covered_pixels([moved], (0, 0), 0.5, (64, 64))
    first, other = (np.bincount(each.pixel, each.share, 64 * 64) for each in (here, there))
    expected = np.roll(first.reshape(64, 64), shift[::-1], axis=(0, 1))
    np.testing.assert_allclose(other.reshape(64, 64), expected, atol=1e-9)
    assert other.sum() == pytest.approx(hull.area * 4, rel=1e-9)


def supersampled(picture: np.ndarray, polygon: shapely.Geometry, step: int = 8) -> np.ndarray:
    """Mean and deviation of pixels in a polygon, by points within them; outside is glass."""
    x0, y0, x1, y1 = np.floor(polygon.bounds).astype(int) + np.array([0, 0, 1, 1])
    y, x = ((np.mgrid[y0 * step : y1 * step, x0 * step : x1 * step] + 0.5) / step).reshape(2, -1)
    inside = shapely.contains_xy(polygon, x, y)
    padded = np.pad(picture, ((0, 0), (200, 200), (200, 200)), constant_values=255)
    at = (np.floor(each[inside]).astype(int) + 200 for each in (y, x))
    values = padded[:, *at].astype(float)
    return np.concatenate([values.mean(1), values.std(1)])


def test_of_colours_it_is_the_naive_mean(picture, colours, polygons):
    found = read(picture, colours, polygons)[:, 1]
    std = np.array(colours.std) * 255
    found = found * np.tile(std, 2) + np.append(np.array(colours.mean) * 255, np.zeros(3))
    big = shapely.area(polygons) > 30
    for vector, polygon in zip(found[big], polygons[big], strict=True):
        np.testing.assert_allclose(vector, supersampled(picture, polygon), atol=0.5)
    assert big.sum() > 20


@pytest.mark.parametrize("shift", [0.0, 0.37])
def test_a_square_is_a_box(picture, encoder, shift):
    centres = np.random.default_rng(5).integers(10, 90, (20, 2)) * 4.0 + shift
    squares = shapely.box(*(centres - 12).T, *(centres + 12).T)
    vectors = read(picture, encoder, squares, centres=centres, widths=(24.0,))
    np.testing.assert_allclose(vectors[:, 1], vectors[:, 0], atol=1e-3)  # roots of rounding errors
    np.testing.assert_allclose(vectors[:, 1] ** 2, vectors[:, 0] ** 2, atol=2e-6)
    other = read(picture, encoder, np.roll(squares, 1), centres=centres, widths=(24.0,))
    assert np.abs(other[:, 1] - vectors[:, 0]).max(axis=1).min() > 1e-3
    np.testing.assert_array_equal(other[:, 0], vectors[:, 0])


def test_a_hole_is_not_looked_at(picture, colours):
    ring = shapely.difference(shapely.box(100, 100, 200, 200), shapely.box(120, 120, 180, 180))
    painted = picture.copy()
    painted[:, 120:180, 120:180] = 0
    both = [read(each, colours, np.array([ring]))[0] for each in (picture, painted)]
    np.testing.assert_array_equal(both[0][1], both[1][1])
    assert np.abs(both[0][0] - both[1][0]).max() > 0.1


@pytest.mark.parametrize("piece", [32, 256])
def test_pieces_and_bands_do_not_matter(picture, encoder, polygons, piece, monkeypatch):
    """One outline reaches over all bands, from a spot at the very end."""
    tall = shapely.union(polygons[-1], shapely.box(195, 5, 205, 390))
    shapes = np.append(polygons[:-1], tall)
    centres = shapely.get_coordinates(shapely.centroid(shapes))
    centres[-1] = 200, 385
    expected = read(picture, encoder, shapes, centres=centres)
    monkeypatch.setattr(walk, "BLOCK_PX", 50)
    monkeypatch.setattr(walk, "MOST_SPOTS", 3)
    found = read(picture, encoder, shapes, centres=centres, piece=piece)
    assert np.abs(found - expected).max() < 1e-5
    replicas = read(picture, encoder, shapes, centres=centres, encoders=[encoder, encoder])
    assert np.abs(replicas - expected).max() < 1e-5


def test_cells_smaller_than_a_pixel_read_the_pixels_that_they_touch(picture, colours, encoder):
    inside, across = shapely.box(50.2, 60.2, 50.7, 60.9), shapely.box(49.75, 60.2, 50.25, 60.4)
    found = read(picture, colours, np.array([inside, across]))[:, 1]
    pixels = shapely.box(np.array([50, 49]), 60, np.array([51, 50]), 61)
    first, left = read(picture, colours, pixels)[:, 1, :3]
    np.testing.assert_allclose(found[0], [*first, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found[1, :3], (first + left) / 2, atol=1e-6)
    np.testing.assert_allclose(found[1, 3:], np.abs(first - left) / 2, atol=1e-6)
    tiny = shapely.buffer(shapely.points([[7.99, 8.0], [100, 100]]), 0.02)
    assert np.isfinite(read(picture, encoder, tiny)).all()


def test_a_piece_in_a_hole_is_passed_by(picture, encoder):
    ring = shapely.difference(shapely.box(10, 10, 390, 390), shapely.box(20, 20, 380, 380))
    found = [read(picture, encoder, np.array([ring]), piece=piece) for piece in (32, 512)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_outside_is_glass(picture, encoder):
    cells = shapely.buffer(shapely.points([[0.0, 200.0], [-40.0, 100.0], [398.0, 399.0]]), 20)
    found = read(picture, encoder, cells)
    padded = np.pad(picture, ((0, 0), (128, 128), (128, 128)), constant_values=255)
    moved = shapely.transform(cells, lambda xy: xy + 128)
    np.testing.assert_allclose(found, read(padded, encoder, moved), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-2


def cache(tmp_path) -> VectorCache:
    return VectorCache(tmp_path / "cache", {"encoder": "two"}, width=18, n_tiles=200)


def test_the_cache_tells_outlines_apart(picture, encoder, polygons, centres, tmp_path):
    def keep(shapes):
        with cache(tmp_path) as store:
            return read(picture, encoder, shapes, centres=centres, cache=store)

    first, grown = keep(polygons), shapely.buffer(polygons, 1)
    alone = read(picture, encoder, polygons, centres=centres)
    np.testing.assert_allclose(first, alone, atol=1e-6)
    other = keep(grown)
    np.testing.assert_allclose(other, read(picture, encoder, grown, centres=centres), atol=1e-6)
    assert (other[:, 1] != first[:, 1]).any(axis=1).all()


def test_what_is_known_is_not_encoded_again(
    picture, encoder, polygons, centres, tmp_path, monkeypatch
):
    with cache(tmp_path) as store:
        expected = read(picture, encoder, polygons, centres=centres, cache=store)

    def never(*args):
        raise AssertionError("encoded again")

    with monkeypatch.context() as patched, cache(tmp_path) as store:
        patched.setattr(walk.Maps, "_run", never)
        found = read(picture, encoder, polygons, centres=centres, cache=store)
    np.testing.assert_array_equal(found, expected)
    grown = shapely.buffer(polygons, 1)
    with monkeypatch.context() as patched, cache(tmp_path) as store:
        patched.setattr(walk.Maps, "_run", never)
        with pytest.raises(AssertionError, match="encoded again"):
            read(picture, encoder, grown, centres=centres, cache=store)
