"""Means of slides and regions: known by hand, for independent and shared errors, every refusal."""

from __future__ import annotations

from copy import deepcopy

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import N_SAMPLES, N_SPOTS, predicted
from scipy.stats import t
from spatialdata import SpatialData
from spatialdata.models import ShapesModel
from spatialdata.transformations import Identity, Scale, set_transformation
from support import make_tissue, snapshot

import stflow as stf
from stflow.metrics import normal_sd

N_A = 10


@pytest.fixture
def halves(rng) -> AnnData:
    """Ten spots of ``a``, and thirty of ``b``; three genes, spots and genes independent."""
    return with_groups(predicted(rng.standard_normal((N_SPOTS, 3, N_SAMPLES))))


def with_groups(table: AnnData) -> AnnData:
    table.obs["part"] = pd.Categorical(["a"] * N_A + ["b"] * (N_SPOTS - N_A))
    table.obsm["stflow"].iloc[:N_A] += 1
    table.obsm["stflow_samples"][:N_A] += 1
    return table


def test_independent_spots_make_a_mean_sure(halves) -> None:
    found = stf.tl.summarize(halves, "part")
    assert list(found.obs_names) == ["slide/a", "slide/b"]
    assert list(found.obs["n_spots"]) == [N_A, N_SPOTS - N_A]
    np.testing.assert_allclose(found.layers["mean"], [[6, 7, 8], [5, 6, 7]])
    expected = np.sqrt(1 / np.array([N_A, N_SPOTS - N_A]))[:, None]
    np.testing.assert_allclose(found.layers["sd"] / expected, 1, atol=0.12)
    wide = (found.layers["upper"] - found.layers["lower"]) / found.layers["sd"]
    np.testing.assert_allclose(wide, 2 * 1.6449, rtol=1e-3)


def test_spots_that_go_together_are_no_surer_than_one(rng) -> None:
    shared = rng.standard_normal((1, 1, N_SAMPLES))
    table = with_groups(predicted(np.broadcast_to(shared, (N_SPOTS, 3, N_SAMPLES))))
    found = stf.tl.summarize(table, "part")
    np.testing.assert_allclose(found.layers["sd"], 1, atol=0.1)
    difference = stf.tl.summarize(table, "part", contrast=("a", "b"))
    np.testing.assert_allclose(difference.layers["mean"], 1)
    np.testing.assert_allclose(difference.layers["sd"], 0, atol=1e-5)
    assert list(difference.obs_names) == ["slide/a - b"]
    assert set(difference.layers) == {"mean", "sd", "lower", "upper"}


def test_a_difference_of_independent_spots(halves) -> None:
    found = stf.tl.summarize(halves, "part", contrast=("b", "a"), level=0.8)
    np.testing.assert_allclose(found.layers["mean"], -1)
    np.testing.assert_allclose(found.layers["sd"], np.sqrt(1 / 10 + 1 / 30), rtol=0.12)
    assert (found.layers["upper"] < 0).all()


def test_a_pseudo_bulk_is_the_mean_of_amounts_not_the_amount_of_the_mean(rng) -> None:
    """Of normals around 5: the mean of exp is exp(5 + 1/2), up to the 1 of log1p."""
    table = predicted(rng.standard_normal((N_SPOTS, 1, 4 * N_SAMPLES)))
    found = stf.tl.summarize(table)
    assert list(found.obs_names) == ["slide"]
    assert found.layers["bulk"].item() == pytest.approx(np.exp(5.5) - 1, rel=0.02)
    assert found.layers["bulk"].item() > 1.5 * np.expm1(found.layers["mean"].item())
    assert found.layers["bulk_lower"] < found.layers["bulk"] < found.layers["bulk_upper"]
    relative = np.sqrt(np.expm1(1) / N_SPOTS)
    assert (found.layers["bulk_sd"] / found.layers["bulk"]).item() == pytest.approx(
        relative, rel=0.2
    )


def test_a_pseudo_bulk_is_corrected_by_what_is_known_of_its_tail(rng) -> None:
    """A bias multiplies it, bounds are as wide as its own shift says: not as that of the gene."""
    table = predicted(rng.standard_normal((N_SPOTS, 2, N_SAMPLES)))
    plain = stf.tl.summarize(table, level=0.8)
    shared = rng.standard_normal((1, 2, N_SAMPLES)).astype(np.float32)
    table.obsm["stflow_samples"] = table.obsm["stflow_samples"] + shared
    table.obsm["stflow_sd"] += np.sqrt(2) - 1
    table.uns["stflow"] = {
        "genes": np.array(["A", "B"]),
        "shift": np.full(2, 1 / normal_sd(3.0)),
        "shift_df": 3.0,
        "bulk_bias": np.array([0.5, -0.5]),
        "bulk_shift": np.array([0.1, 0.4]),
    }
    found = stf.tl.summarize(table, level=0.8)
    ratio = (1 + found.layers["bulk"]) / (1 + plain.layers["bulk"])
    np.testing.assert_allclose(np.log(ratio), [[0.5, -0.5]], atol=0.07)
    ends = [np.log1p(found.layers[name]) for name in ("bulk_lower", "bulk_upper")]
    half = t.ppf(0.9, 3) * np.array([[0.1, 0.4]])
    np.testing.assert_allclose((ends[1] - ends[0]) / 2, half, rtol=0.01)
    table.obs["part"] = ["a"] * N_A + ["b"] * (N_SPOTS - N_A)
    parts = stf.tl.summarize(table, "part", level=0.8)
    ends = [np.log1p(parts.layers[name]) for name in ("bulk_lower", "bulk_upper")]
    wide = (ends[1] - ends[0]) / 2
    assert (wide[0] > wide[1]).all()
    assert (wide[1] > half).all()
    np.testing.assert_allclose(sum(ends) / 2, np.log1p(parts.layers["bulk"]))


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_measured_spots_need_no_correction(rng, share: float) -> None:
    """Of all spots, the pseudo-bulk is the measured one; of some, the tail of the others alone."""
    given = np.arange(N_SPOTS) < share * N_SPOTS
    normal = rng.standard_normal((N_SPOTS, 1, N_SAMPLES))
    normal[given] = 0
    table = predicted(normal, np.where(given, 0, 1)[:, None])
    info = {"genes": np.array(["A"]), "shift": np.ones(1), "shift_df": 3.0}
    table.uns["stflow"] = info | {"bulk_bias": np.array([-1.0]), "bulk_shift": np.ones(1)}
    table.obs["stflow_observed"] = given
    found = stf.tl.summarize(table)
    free = np.exp(5.5 - 1) - 1 if share < 1 else 0
    expected = share * np.expm1(5) + (1 - share) * free
    assert found.layers["bulk"].item() == pytest.approx(expected, rel=0.03)
    if share == 1:
        for layer in ("bulk", "bulk_lower", "bulk_upper"):
            assert found.layers[layer].item() == pytest.approx(np.expm1(5), rel=1e-5)


def test_a_shift_of_the_slide_widens_a_mean_and_leaves_a_difference(rng) -> None:
    table = with_groups(predicted(rng.standard_normal((N_SPOTS, 3, N_SAMPLES))))
    at = {name: deepcopy(table) for name in ("known", "patients")}
    whole = 2 * rng.standard_normal((1, 3, N_SAMPLES)).astype(np.float32)
    at["patients"].obsm["stflow_samples"] = table.obsm["stflow_samples"] + whole
    at["patients"].obsm["stflow_sd"] += np.sqrt(5) - 1
    at["patients"].uns["stflow"] = {
        "shift": np.full(3, 2 / normal_sd(2.0)),
        "shift_df": 2.0,
        "genes": np.array(["A", "B", "C"]),
    }
    wide = {
        name: stf.tl.summarize(each, "part", level=0.98, contrast=contrast)
        for name, each, contrast in (
            ("known", at["known"], None),
            ("patients", at["patients"], None),
            ("difference", at["patients"], ("a", "b")),
        )
    }
    half = {n: (each.layers["upper"] - each.layers["lower"]) / 2 for n, each in wide.items()}
    assert (half["patients"] > 2.326 * 2 * 1.3).all()  # as of a t, not of a normal
    assert (half["known"] < 2.326 * 0.4).all()
    np.testing.assert_allclose(half["difference"], 2.326 * np.sqrt(1 / 10 + 1 / 30), rtol=0.15)
    sets = stf.tl.summarize(at["patients"], "part", level=0.98, gene_sets={"x": ["A", "B", "C"]})
    assert ((sets.layers["upper"] - sets.layers["lower"]) / 2 > 2.326 * 2 / np.sqrt(3) * 1.3).all()


def test_sets_and_some_genes(halves) -> None:
    sets = {"one": ["A"], "two": ["B", "C", "X"]}
    with pytest.warns(UserWarning, match="are no part of a score: 'two 2 of 3'"):
        found = stf.tl.summarize(halves, gene_sets=sets)
    assert list(found.var_names) == ["one", "two"]
    assert list(found.var["missing"]) == ["", "X"]
    some = stf.tl.summarize(halves, genes=["C", "A"])
    assert list(some.var_names) == ["C", "A"]
    every = stf.tl.summarize(halves)
    assert set(found.layers) == {"mean", "sd", "lower", "upper"} < set(every.layers)
    for layer in every.layers:
        np.testing.assert_allclose(some.layers[layer], every[:, ["C", "A"]].layers[layer])
    for layer in found.layers:
        np.testing.assert_allclose(found[:, "one"].layers[layer], every[:, "A"].layers[layer])


@settings(max_examples=20)
@given(seed=st.integers(0, 99), n_a=st.integers(1, 19))
def test_the_whole_is_the_mean_of_its_parts(seed: int, n_a: int) -> None:
    rng = np.random.default_rng(seed)
    table = predicted(rng.standard_normal((20, 2, 100)))
    table.obsm["stflow"] += rng.random((20, 2))
    table.obs["part"] = ["a"] * n_a + ["b"] * (20 - n_a)
    whole, parts = stf.tl.summarize(table), stf.tl.summarize(table, "part")
    shares = parts.obs["n_spots"].to_numpy() / 20
    for layer in ("mean", "bulk"):
        np.testing.assert_allclose(whole.layers[layer][0], shares @ parts.layers[layer])
    both = stf.tl.summarize(table, "part", contrast=("a", "b")).layers["mean"][0]
    np.testing.assert_allclose(both, np.subtract(*parts.layers["mean"]))


def drawn_regions(sdata: SpatialData, **columns: list) -> None:
    """Two boxes in pixels of half the size: the left half of the tissue, and a corner far off."""
    x0, y0, x1, y1 = sdata["spots"].total_bounds / 2
    boxes = [shapely.box(x0, y0, (x0 + x1) / 2, y1), shapely.box(-9, -9, -8, -8)]
    boxes.append(shapely.box((x0 + x1) / 2, y0, x1, y1))
    frame = gpd.GeoDataFrame(columns, geometry=boxes)
    sdata["regions"] = ShapesModel.parse(
        frame, transformations={"global": Scale([2, 2], ("x", "y"))}
    )


def test_regions_are_drawn_shapes(tissue, model) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, n_samples=100, keep_samples=True)
    drawn_regions(
        sdata, name=["niche", None, None], classification=pd.Categorical([None, "far", "Stroma"])
    )
    before = snapshot(sdata)
    with pytest.warns(UserWarning, match="No spot of table 'table'.* lies in 'far'"):
        found = stf.tl.summarize(sdata, "regions")
    assert list(found.obs["group"]) == ["niche", "Stroma"]
    x = sdata["spots"].geometry.x
    left = (x <= (sdata["spots"].total_bounds[[0, 2]]).mean()).to_numpy()
    predicted_means = sdata["table"].obsm["stflow"]
    np.testing.assert_allclose(found.layers["mean"][0], predicted_means[left].mean(), rtol=1e-6)
    np.testing.assert_allclose(found.layers["mean"][1], predicted_means[~left].mean(), rtol=1e-6)
    assert snapshot(sdata) == before


def test_samples_drawn_anew_spread_as_far_as_the_kept_ones(two_regions, model) -> None:
    stf.tl.predict(two_regions, model, n_samples=100, keep_samples=True)
    table = two_regions["table"]
    kept = stf.tl.summarize(two_regions)
    del table.obsm["stflow_samples"]
    drawn = stf.tl.summarize(two_regions, model=model)
    assert list(drawn.obs_names) == ["slide/b", "slide/a"]
    for layer in ("mean", "sd"):
        np.testing.assert_allclose(drawn.layers[layer], kept.layers[layer], rtol=0.3)
    alone = {gene: [gene] for gene in model.genes}
    stf.tl.score_genes(two_regions, alone, model=model)
    said, found = (table.obsm[key].to_numpy() for key in ("stflow_sd", "stflow_scores_sd"))
    sizes = [np.sqrt(np.square(sd).mean(0)) for sd in (said, found)]
    np.testing.assert_allclose(*sizes, rtol=0.2)


def test_a_cohort_is_one_table(model) -> None:
    slides = make_tissue(3, n_spots=36, n_patients=2)
    for sdata in slides.values():
        stf.tl.predict(sdata, model)
    with pytest.warns(UserWarning, match="are of 8 samples"):
        found = stf.tl.summarize(slides, model=model, n_samples=8)
    bulk = found.to_df(layer="bulk")
    assert list(bulk.index) == ["S1", "S2", "S3"]
    assert list(bulk.columns) == list(model.genes)
    assert list(found.obs["patient"]) == ["P1", "P2", "P1"]
    assert found.uns["summary"]["units"] == "cp10k"
    assert found.uns["summary"]["n_samples"] == 8


def test_slides_without_both_groups_are_told(halves) -> None:
    other = halves[halves.obs["part"] == "a"].copy()
    with pytest.warns(UserWarning, match="without spots in 'a' and 'b' are left out: 'second'"):
        found = stf.tl.summarize({"first": halves, "second": other}, "part", contrast=("a", "b"))
    assert list(found.obs["slide"]) == ["first"]
    with pytest.raises(KeyError, match="No slide has spots in 'a' and 'b': 'second'"):
        stf.tl.summarize({"second": other}, "part", contrast=("a", "b"))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        (
            {"by": "no"},
            KeyError,
            "'no' is no column of .*, which has 'part'",
        ),
        ({"level": 1.0}, ValueError, "`level` must be between 0 and 1"),
        ({"contrast": ("a", "b")}, ValueError, "`by=` must say what divides"),
        ({"by": "part", "contrast": ("a", "a")}, ValueError, "must name two groups"),
        ({"by": "part", "contrast": "ab"}, ValueError, "must name two groups"),
        ({"by": "empty"}, ValueError, "No spot of .* is of any group by 'empty'"),
        ({"genes": ["X"]}, KeyError, "not among the predicted genes: 'X'"),
        ({"genes": ["A"], "gene_sets": {"x": ["A"]}}, ValueError, "two ways to say"),
        ({"gene_sets": {"x": ["Q"]}}, ValueError, "No gene of 'x' is in the panel"),
        ({"key": "other"}, KeyError, r"No prediction 'other'.*`stf.tl.predict` first"),
        ({"model": "her2.stflow"}, TypeError, r"`model` is a str, not an STFlow"),
        ({"model": "her2.stflow", "n_samples": 1}, ValueError, "`n_samples` .* at least 2"),
    ],
)
def test_refusals(halves, how, error, message) -> None:
    halves.obs["empty"] = np.nan
    with pytest.raises(error, match=message):
        stf.tl.summarize(halves, **how)


def test_slides_that_do_not_go_together(halves) -> None:
    other = halves.copy()
    other.obsm["stflow"] = other.obsm["stflow"][["A", "B"]]
    with pytest.raises(ValueError, match="were predicted for different genes"):
        stf.tl.summarize({"x": halves, "y": other})
    other = halves.copy()
    other.uns["stflow"] = {"units": "counts"}
    with pytest.raises(ValueError, match=r"different units \(x: unknown, y: counts\)"):
        stf.tl.summarize({"x": halves, "y": other})
    del halves.obsm["stflow_samples"]
    with pytest.raises(KeyError, match=r"No samples .* or pass the model with `model=`"):
        stf.tl.summarize(halves)


def test_shapes_that_are_no_regions(tissue, model) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, n_samples=2, keep_samples=True)
    with pytest.raises(ValueError, match="Shapes 'spots' hold 'Point'; regions are polygons"):
        stf.tl.summarize(sdata, "spots")
    drawn_regions(sdata)
    sdata["table"].obs["regions"] = "x"
    with pytest.raises(ValueError, match="as well as a shapes element"):
        stf.tl.summarize(sdata, "regions")
    del sdata["table"].obs["regions"]
    set_transformation(sdata["regions"], {"elsewhere": Identity()}, set_all=True)
    with pytest.raises(ValueError, match="share no coordinate system"):
        stf.tl.summarize(sdata, "regions")


def test_another_model_and_observed_spots_are_refused(tissue, model) -> None:
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model)
    sdata["table"].uns["stflow"]["model"] = "another"
    with pytest.raises(ValueError, match=r"is of another, of .*, not of STFlow"):
        stf.tl.summarize(sdata, model=model)
    known = np.zeros(sdata["table"].n_obs, dtype=bool)
    known[:5] = True
    stf.tl.predict(sdata, model, observed=known, overwrite=True)
    with pytest.raises(ValueError, match="drawn anew know nothing of these"):
        stf.tl.summarize(sdata, model=model)
