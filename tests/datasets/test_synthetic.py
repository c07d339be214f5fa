"""The synthetic tissue: its law holds, the image tells it, and it is the same every time."""

from __future__ import annotations

import time

import numpy as np
import pytest
import spatialdata
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree
from scipy.stats import nbinom

from stflow.datasets import redraw, synthetic
from stflow.datasets._law import draw_law, draw_programmes, mean_pearson
from stflow.datasets._tissue import LATTICES, neighbour_mean


@pytest.fixture(scope="module")
def slides() -> dict[str, spatialdata.SpatialData]:
    return synthetic()


def law_means(table) -> np.ndarray:
    """The law of the docstring, written out."""
    law = table.uns["synthetic"]
    shares = table.obsm["domain_shares"]
    pitch_px = law["pitch_um"] / law["image_mpp"]
    tree = KDTree(table.obsm["spatial"])
    means = np.empty(table.shape)
    for i, near in enumerate(tree.query_ball_point(table.obsm["spatial"], 1.5 * pitch_px)):
        others = [j for j in near if j != i] or [i]
        log_mean = law["base"] + shares[i] @ law["own"]
        log_mean = log_mean + shares[others].mean(axis=0) @ law["neighbours"]
        means[i] = np.exp(np.clip(log_mean, -4, 5.5))
    return means


def tile_features(sdata, half_px: int = 25) -> np.ndarray:
    """Mean colour and variance of the tile around each spot."""
    image = sdata.images["he"]["scale0"]["image"].to_numpy().astype(float)
    features = []
    for x, y in sdata.tables["table"].obsm["spatial"].astype(int):
        tile = image[:, y - half_px : y + half_px, x - half_px : x + half_px]
        features.append(np.r_[tile.mean(axis=(1, 2)), tile.std(axis=(1, 2))])
    return np.array(features)


def held_out_pearson(features: np.ndarray, target: np.ndarray, measured: np.ndarray) -> float:
    """Fit on half of the spots, score on the others."""
    design = np.column_stack([features, features**2, np.ones(len(features))])
    design = (design - design.mean(axis=0)) / np.maximum(design.std(axis=0), 1e-9)
    design[:, -1] = 1
    fit, held = slice(0, None, 2), slice(1, None, 2)
    weights = np.linalg.lstsq(design[fit], target[fit], rcond=None)[0]
    return mean_pearson(design[held] @ weights, measured[held])


def test_convention(slides) -> None:
    assert list(slides) == ["S1", "S2", "S3"]
    for sdata in slides.values():
        table, spots = sdata.tables["table"], sdata.shapes["spots"]
        assert table.shape == (400, 50)
        assert table.X.dtype == np.int32
        assert table.X.format == "csr"
        assert list(table.var_names[[0, -1]]) == ["GENE001", "GENE050"]
        shape = list(sdata.images["he"]["scale0"]["image"].shape[1:])
        record = {"mpp": 2.0, "shape": shape, "technology": "synthetic"}
        assert sdata.attrs["slide_properties"] == record
        assert list(sdata.images["he"].children) == ["scale0", "scale1", "scale2", "scale3"]
        np.testing.assert_array_equal(table.obs["spot_id"], spots.index)
        np.testing.assert_array_equal(table.obsm["spatial"][:, 1], spots.geometry.y)
        np.testing.assert_allclose(spots["radius"], 50 / 2)


def test_means_follow_the_law(slides) -> None:
    table = slides["S1"].tables["table"]
    means = law_means(table)
    success = 4.0 / (4.0 + means)
    counts = np.arange(1, 4000)
    for gene in (0, 17):
        pmf = nbinom.pmf(counts, 4.0, success[:, gene, None])
        exact = (1 - 0.1) * pmf @ np.log1p(counts)
        np.testing.assert_allclose(table.layers["expected"][:, gene], exact, atol=1e-4)


@given(log_mean=st.floats(-4, 5.5), dispersion=st.floats(1, 100), zero_inflation=st.floats(0, 0.9))
@example(log_mean=5.5, dispersion=0.1, zero_inflation=0.0)
@settings(max_examples=15, deadline=None)
def test_expectation_is_exact(log_mean: float, dispersion: float, zero_inflation: float) -> None:
    law = draw_law(
        1,
        4,
        dispersion=dispersion,
        zero_inflation=zero_inflation,
        hidden=0.0,
        rng=np.random.default_rng(0),
    )
    mean = np.exp(log_mean)
    most = int(nbinom.isf(1e-12, dispersion, dispersion / (dispersion + mean))) + 2
    counts = np.arange(most)
    pmf = nbinom.pmf(counts, dispersion, dispersion / (dispersion + mean))
    exact = (1 - zero_inflation) * pmf @ np.log1p(counts)
    assert law.expected_log1p(np.array([[mean]]))[0, 0] == pytest.approx(exact, abs=1e-4)


def test_samples_follow_the_law(rng) -> None:
    law = draw_law(1, 4, dispersion=2.0, zero_inflation=0.3, hidden=0.0, rng=rng)
    mean = np.full((200_000, 1), 3.0)
    counts = law.sample(mean, np.zeros((len(mean), 2)), rng)
    assert np.log1p(counts).mean() == pytest.approx(law.expected_log1p(mean[:1])[0, 0], abs=0.01)
    assert counts.mean() == pytest.approx(0.7 * 3, abs=0.03)
    kept_variance = 3 + 9 / 2
    assert counts.var() == pytest.approx(0.7 * kept_variance + 0.7 * 0.3 * 9, rel=0.03)
    lost = 0.3 + 0.7 * (2 / 5) ** 2
    assert (counts == 0).mean() == pytest.approx(lost, abs=0.005)


def test_slides_follow_the_law() -> None:
    table = synthetic(1, n_spots=3000, n_genes=20, image_mpp=20)["S1"].tables["table"]
    measured, expected = np.log1p(table.X.toarray()), table.layers["expected"]
    error = measured - expected
    assert np.abs(error.mean(axis=0)).max() < 5 * error.std() / np.sqrt(len(error))
    slope = (measured * expected).sum() / (expected**2).sum()
    assert slope == pytest.approx(1, abs=0.02)


def test_best_pearson(slides) -> None:
    for sdata in slides.values():
        table = sdata.tables["table"]
        measured, expected = np.log1p(table.X.toarray()), table.layers["expected"]
        scores = [np.corrcoef(a, b)[0, 1] for a, b in zip(measured.T, expected.T, strict=True)]
        best = table.uns["synthetic"]["best_pearson"]
        assert best == pytest.approx(np.mean(scores), abs=1e-5)
        assert 0.45 < best < 0.75
        error = ((measured - expected) ** 2).mean()
        assert error < 0.8 * measured.var(axis=0).mean()


def test_image_tells_the_counts(slides) -> None:
    """Colour and texture reach most of the best score; shuffled tiles reach nothing."""
    sdata = slides["S1"]
    table = sdata.tables["table"]
    features = tile_features(sdata)
    around = neighbour_mean(table.obsm["spatial"] / 100, features)
    measured = np.log1p(table.X.toarray())
    best = table.uns["synthetic"]["best_pearson"]
    both = np.column_stack([features, around])
    assert 0.75 * best < held_out_pearson(both, measured, measured) < best
    shuffled = both[np.random.default_rng(0).permutation(len(both))]
    assert abs(held_out_pearson(shuffled, measured, measured)) < 0.1


def test_neighbours_matter(slides) -> None:
    """Even a spot's exact domains leave out what its neighbours add."""
    table = slides["S1"].tables["table"]
    own = table.obsm["domain_shares"]
    around = neighbour_mean(table.obsm["spatial"] / 100, own)
    target = np.log(law_means(table))
    left = {}
    for name, shares in {"own": own, "both": np.column_stack([own, around])}.items():
        fitted = shares @ np.linalg.lstsq(shares, target, rcond=None)[0]
        left[name] = ((target - fitted) ** 2).sum() / ((target - target.mean(axis=0)) ** 2).sum()
    assert left["own"] > 0.05
    assert left["both"] < 0.02


def test_domains_differ_in_the_image(slides) -> None:
    """The domain under a spot is recognised by its tile."""
    sdata = slides["S2"]
    shares = sdata.tables["table"].obsm["domain_shares"]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    pure = shares.max(axis=1) == 1
    features = tile_features(sdata, half_px=20)[pure]
    features /= features.std(axis=0)
    labels = shares[pure].argmax(axis=1)
    centres = np.array([features[labels == k].mean(axis=0) for k in range(4)])
    nearest = KDTree(centres).query(features)[1]
    assert (nearest == labels).mean() > 0.95


def test_glass_around_tissue(slides) -> None:
    for sdata in slides.values():
        image = sdata.images["he"]["scale0"]["image"].to_numpy()
        edge = np.concatenate([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], axis=1)
        assert edge.min() > 230
        xy = sdata.tables["table"].obsm["spatial"]
        darkest = image.min(axis=0).astype(float)
        under = map_coordinates(darkest, xy[:, ::-1].T, order=0)
        assert (under < 230).all()


def test_stain_differs_between_slides(slides) -> None:
    def stroma_colour(sdata) -> np.ndarray:
        pure = sdata.tables["table"].obsm["domain_shares"][:, 1] == 1
        return tile_features(sdata, half_px=20)[pure, :3].mean(axis=0)

    shifted = np.std([stroma_colour(sdata) for sdata in slides.values()], axis=0)
    unshifted = synthetic(n_genes=1, stain_shift=0)
    alike = np.std([stroma_colour(sdata) for sdata in unshifted.values()], axis=0)
    assert shifted.max() > 4
    assert alike.max() < 1.5


@pytest.mark.parametrize("lattice", LATTICES)
def test_pitch(lattice: str) -> None:
    sdata = synthetic(1, n_spots=600, lattice=lattice, pitch_um=100, image_mpp=4)["S1"]
    spatial = sdata.tables["table"].obsm["spatial"] * sdata.attrs["slide_properties"]["mpp"]
    assert len(np.unique(spatial, axis=0)) == 600
    nearest = KDTree(spatial).query(spatial, k=2)[0][:, 1]
    inner = np.hypot(*(spatial - spatial.mean(axis=0)).T) < 600
    around = KDTree(spatial).query_ball_point(spatial[inner], 150, return_length=True) - 1
    if lattice == "random":
        assert nearest.min() > 50
        assert len(spatial[inner]) == pytest.approx(np.pi * 600**2 / 100**2, rel=0.1)
        assert len(np.unique(around)) > 3
    else:
        assert np.median(nearest) == pytest.approx(100, rel=0.03)
        assert (around == {"square": 8, "hex": 6}[lattice]).all()


def test_exact_lattice() -> None:
    spatial = synthetic(1, n_spots=50, jitter=0)["S1"].tables["table"].obsm["spatial"]
    nearest = KDTree(spatial).query(spatial, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest, 100)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("n_spots", [1, 2, 5])
def test_few_spots(n_spots: int, lattice: str) -> None:
    sdata = synthetic(1, n_spots=n_spots, n_genes=1, lattice=lattice, image_mpp=10)["S1"]
    assert sdata.tables["table"].shape == (n_spots, 1)
    assert np.isfinite(sdata.tables["table"].layers["expected"]).all()
    if n_spots == 1:
        assert np.isnan(sdata.tables["table"].uns["synthetic"]["best_pearson"])


def test_many_spots() -> None:
    table = synthetic(1, n_spots=20_000, n_genes=10, image_mpp=40)["S1"].tables["table"]
    assert table.shape == (20_000, 10)
    assert 0.4 < table.uns["synthetic"]["best_pearson"] < 0.75


def test_same_seed_same_slides(slides) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = synthetic(2)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    for name, sdata in again.items():
        first, second = slides[name].tables["table"], sdata.tables["table"]
        np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
        np.testing.assert_array_equal(first.obsm["spatial"], second.obsm["spatial"])
        pixels = (made.images["he"]["scale0"]["image"] for made in (slides[name], sdata))
        np.testing.assert_array_equal(*pixels)


def test_other_seed_other_slides(slides) -> None:
    other = synthetic(1, seed=1)["S1"].tables["table"]
    assert (other.X != slides["S1"].tables["table"].X).nnz > 0
    assert (slides["S2"].tables["table"].X != slides["S1"].tables["table"].X).nnz > 0


def test_slides_share_the_law(slides) -> None:
    laws = [sdata.tables["table"].uns["synthetic"] for sdata in slides.values()]
    for key in ("base", "own", "neighbours"):
        np.testing.assert_array_equal(laws[0][key], laws[2][key])


def test_round_trip(slides, tmp_path) -> None:
    slides["S1"].write(tmp_path / "slide.zarr")
    back = spatialdata.read_zarr(tmp_path / "slide.zarr")
    table, read = slides["S1"].tables["table"], back.tables["table"]
    np.testing.assert_array_equal(read.layers["expected"], table.layers["expected"])
    written = read.uns["synthetic"]
    assert written["best_pearson"] == table.uns["synthetic"]["best_pearson"]
    assert list(written["domains"]) == ["tumour", "stroma", "immune", "necrosis"]
    assert back.attrs["slide_properties"] == slides["S1"].attrs["slide_properties"]


def test_made_in_seconds() -> None:
    start = time.process_time()
    synthetic()
    assert time.process_time() - start < 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_slides": 0}, "`n_slides` must be at least 1"),
        ({"n_spots": 0}, "`n_spots` must be at least 1"),
        ({"n_genes": 0}, "`n_genes` must be at least 1"),
        ({"lattice": "cubic"}, "`lattice` is 'cubic'; available: 'square', 'hex', 'random'"),
        ({"pitch_um": 0}, "`pitch_um` must be a positive number"),
        ({"image_mpp": np.nan}, "`image_mpp` must be a positive number"),
        ({"jitter": 0.6}, "`jitter` must lie between 0 and 0.5"),
        ({"stain_shift": -0.1}, "`stain_shift` must lie between 0 and 0.5"),
        ({"dispersion": 0}, "`dispersion` must be at least 0.1"),
        ({"zero_inflation": 1}, "`zero_inflation` must be at least 0 and below 1"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic(**arguments)


def test_hidden_programmes_are_fields_of_unit_variance(rng) -> None:
    """Neighbours at distance d correlate by exp(-d^2 / 2 s^2), with s of 1.5 pitches."""
    centres = np.array([[0.0, 0.0], [1.5, 0.0], [100.0, 0.0]])
    drawn = np.concatenate([draw_programmes(centres, rng) for _ in range(4000)], axis=1)
    covariance = drawn @ drawn.T / drawn.shape[1]
    np.testing.assert_allclose(np.diag(covariance), 1, atol=0.05)
    assert covariance[0, 1] == pytest.approx(np.exp(-0.5), abs=0.05)
    assert covariance[0, 2] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("hidden", [0.0, 0.8])
def test_what_is_expected_is_the_mean_of_what_is_redrawn(hidden: float) -> None:
    slide = synthetic(1, n_spots=60, n_genes=8, image_mpp=20, hidden=hidden)["S1"]
    drawn = np.log1p(redraw(slide, 3000, seed=1))
    error = drawn.mean(axis=0) - slide["table"].layers["expected"]
    standard = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.abs(error / standard).max() < 5
    assert drawn.shape == (3000, 60, 8)


def test_hidden_programmes_make_neighbours_and_genes_alike() -> None:
    """Beyond what the image tells; without them, what is left is noise of each spot and gene."""
    found = {}
    for hidden in (0.0, 0.8):
        slide = synthetic(1, n_spots=200, n_genes=6, image_mpp=20, hidden=hidden)["S1"]
        left = np.log1p(redraw(slide, 200)) - slide["table"].layers["expected"]
        pair = KDTree(slide["table"].obsm["spatial"]).query_pairs(11, output_type="ndarray")
        spots = (left[:, pair[:, 0]] * left[:, pair[:, 1]]).mean() / (left**2).mean()
        genes = np.corrcoef(left.reshape(-1, 6).T) - np.eye(6)
        found[hidden] = spots, np.abs(genes).max()
    np.testing.assert_allclose(found[0.0], 0, atol=0.02)
    assert min(found[0.8]) > 0.2


def test_redraw_of_a_slide_that_is_not_synthetic(slides) -> None:
    table = slides["S1"]["table"].copy()
    assert np.array_equal(redraw(table, 2, seed=3), redraw(table, 2, seed=3))
    assert not np.array_equal(redraw(table, 2, seed=3), redraw(table, 2, seed=4))
    del table.uns["synthetic"]
    with pytest.raises(KeyError, match="synthetic"):
        redraw(table)
    with pytest.raises(ValueError, match="hidden"):
        synthetic(1, n_spots=4, image_mpp=20, hidden=-1)
