"""Where spots lie on their image, and how many micrometres a pixel measures."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from slides import known, lattice, make, picture, place
from spatialdata.models import TableModel
from spatialdata.transformations import (
    Affine,
    Identity,
    Scale,
    Sequence,
    Translation,
    get_transformation,
    set_transformation,
)

from stflow._sdata._tables import get_regions
from stflow._sdata.places._placed import image_scale, spot_centres_um

# where spots lie

AXES = {"input_axes": ("x", "y"), "output_axes": ("x", "y")}
TURN = Affine([[0, -1, 9], [1, 0, 2], [0, 0, 1]], **AXES)
PLACINGS = {
    "identity": (Identity(), Identity(), lambda p: p),
    "shifted spots": (
        Translation([3, -4], ("x", "y")),
        Identity(),
        lambda p: p + np.array([3, -4]),
    ),
    "shifted image": (Identity(), Translation([3, -4], ("x", "y")), lambda p: p - [3, -4]),
    "scaled": (Scale([2, 2], ("x", "y")), Scale([0.5, 0.5], ("x", "y")), lambda p: 4 * p),
    "flipped": (
        Identity(),
        Sequence([Scale([-1], ("x",)), Translation([60], ("x",))]),
        lambda p: [60, 0] + p * [-1, 1],
    ),
    "turned": (TURN, Identity(), lambda p: np.column_stack([9 - p[:, 1], 2 + p[:, 0]])),
}


@pytest.mark.parametrize("name", PLACINGS)
@pytest.mark.parametrize("factors", [None, [2]])
def test_spots_are_brought_to_pixels_of_the_image_exactly(name, factors, rng):
    spots, image, expected = PLACINGS[name]
    points = rng.uniform(0, 40, (9, 2))
    he = picture(transformations={"global": image}, scale_factors=factors)
    sdata = make(points, images={"he": he}, to_global=spots, attrs=known(0.25))
    placed = place(sdata)
    np.testing.assert_allclose(placed.centres_px, expected(points), atol=1e-12)
    table = sdata.tables["table"]
    um = spot_centres_um(sdata, table, get_regions(table)[0])
    np.testing.assert_allclose(um, expected(points) * 0.25, atol=1e-12)


def test_rows_are_matched_to_spots_by_name(rng):
    points = rng.uniform(0, 40, (9, 2))
    sdata = make(points, attrs=known())
    order = rng.permutation(9)
    sdata.tables["table"] = sdata.tables["table"][order].copy()
    np.testing.assert_array_equal(place(sdata).centres_px, points[order])


def test_global_goes_before_other_shared_systems_and_any_shared_one_will_do():
    sdata = make([[1, 2]], attrs=known())
    for element in (sdata.shapes["spots"], sdata.images["he"]):
        set_transformation(element, Identity(), "low")
    set_transformation(sdata.shapes["spots"], Scale([3, 3], ("x", "y")), "low")
    assert place(sdata).centres_px.tolist() == [[1, 2]]
    for element in (sdata.shapes["spots"], sdata.images["he"]):
        kept = get_transformation(element, "low")
        set_transformation(element, {"low": kept}, set_all=True)
    assert place(sdata).centres_px.tolist() == [[3, 6]]


def test_no_shared_system_names_both():
    he = picture(transformations={"scanner": Identity()})
    sdata = make([[1, 2]], images={"he": he}, attrs=known())
    with pytest.raises(
        ValueError, match=r"'spots' \(.*'global'\) and image 'he' \('scanner'\) share no"
    ):
        place(sdata)


def test_missing_shapes_and_missing_spots():
    sdata = make([[1, 2], [3, 4]], attrs=known())
    sdata.shapes["spots"] = sdata.shapes["spots"].iloc[:1]
    with pytest.raises(KeyError, match="1 rows of the table have no spot in shapes 'spots': 's1'"):
        place(sdata)
    sdata.shapes["others"] = sdata.shapes.pop("spots")
    with pytest.raises(KeyError, match="No shapes or labels element 'spots'; available: 'others'"):
        place(sdata)


def test_a_table_that_annotates_nothing_lies_on_no_image():
    sdata = make([[1, 2]], attrs=known())
    del sdata.tables["table"].uns[TableModel.ATTRS_KEY]
    with pytest.raises(ValueError, match=r"annotates no element.*TableModel\.parse"):
        place(sdata)


# micrometres


def test_the_argument_goes_before_the_record_before_the_pitch():
    points, _ = lattice(pitch=400)
    sdata = make(points, attrs=known(0.25, technology="st"))
    assert place(sdata, image_mpp=0.7).mpp == 0.7
    assert place(sdata, image_mpp={"spots": 0.6}).mpp == 0.6
    assert place(sdata).mpp == 0.25
    del sdata.attrs["slide_properties"]["mpp"]
    assert place(sdata).mpp == pytest.approx(0.5)


@pytest.mark.parametrize("technology", ["st", None])
def test_the_pitch_wins_over_a_record_that_it_contradicts(technology):
    kind, um = ("square", 200) if technology else ("hex", 100)
    points, obs = lattice(pitch=um / 0.5, kind=kind)
    obs = obs.rename(columns={"row": "array_row", "col": "array_col"})

    def slide(mpp, **more):
        return make(points, obs=obs, attrs=known(mpp, technology=technology, **more))

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert place(slide(0.45)).mpp == 0.45
        assert place(slide(0.55)).mpp == 0.55
        assert place(slide(2.0, mpp_source="argument")).mpp == 2.0
    for mpp in (0.39, 0.61, 2.0):
        said = rf"slide_properties'\] says {mpp:g} um .* \({um} um\) gives 0\.5\. 0\.5 is taken"
        with pytest.warns(UserWarning, match=rf"{said}; pass `image_mpp=`.*stf\.pl\.spots"):
            assert place(slide(mpp)).mpp == pytest.approx(0.5)
        with pytest.warns(UserWarning, match=rf"`image_mpp=` says {mpp:g} .* {mpp:g} is taken"):
            assert place(slide(0.5), image_mpp=mpp).mpp == mpp


def test_spots_that_are_not_those_of_the_array_contradict_nothing(rng):
    fine, obs = lattice(pitch=50)
    obs = obs.rename(columns={"row": "array_row", "col": "array_col"})
    attrs = known(0.5, technology="st")
    assert place(make(fine, attrs=attrs)).mpp == 0.5
    with pytest.warns(UserWarning, match=r"slide_properties'\] says 0\.5 um .* gives 4\."):
        assert place(make(fine, obs=obs, attrs=attrs)).mpp == pytest.approx(4.0)
    scattered = make(rng.uniform(0, 900, (64, 2)), obs=obs, attrs=attrs)
    assert place(scattered).mpp == 0.5
    assert place(make(fine, obs=obs, attrs=known(0.5, technology="xenium"))).mpp == 0.5


def test_a_recorded_pitch_tells_the_scale():
    points, _ = lattice(pitch=16)
    attrs = {"slide_properties": {"technology": "visium_hd", "pitch_um": 8.0}}
    assert place(make(points, attrs=attrs)).mpp == pytest.approx(0.5)


@pytest.mark.parametrize(("technology", "um"), [("st", 200), ("visium", 100), ("Visium", 100)])
@pytest.mark.parametrize("kind", ["square", "hex"])
def test_pitch_of_a_known_technology(technology, um, kind):
    points, _ = lattice(pitch=250, kind=kind)
    sdata = make(points, attrs={"slide_properties": {"technology": technology}})
    assert place(sdata).mpp == pytest.approx(um / 250)


def test_pitch_is_taken_in_pixels_of_the_image():
    points, _ = lattice(pitch=250)
    he = picture(transformations={"global": Scale([5, 5], ("x", "y"))})
    sdata = make(points, images={"he": he}, attrs={"slide_properties": {"technology": "st"}})
    assert place(sdata).mpp == pytest.approx(200 / 50)


@pytest.mark.parametrize("kind", ["square", "hex"])
def test_pitch_of_spots_that_are_shifted_a_little_is_not_underrated(kind, rng):
    points, _ = lattice(12, pitch=250, kind=kind)
    shifted = points + rng.normal(0, 0.06 * 250, points.shape)
    sdata = make(shifted, attrs={"slide_properties": {"technology": "st"}})
    nearest = np.linalg.norm(shifted[:, None] - shifted, axis=-1)
    naive = np.median(np.sort(nearest)[:, 1])
    assert place(sdata).mpp == pytest.approx(200 / 250, rel=0.015)
    assert 200 / naive > 1.07 * 200 / 250


def test_pitch_of_a_slide_with_holes(rng):
    points, _ = lattice(12, pitch=250)
    kept = points[rng.random(len(points)) < 0.7]
    sdata = make(kept, attrs={"slide_properties": {"technology": "st"}})
    assert place(sdata).mpp == pytest.approx(0.8)


def test_spots_on_no_lattice_do_not_tell_the_scale(rng):
    points, _ = lattice(12, pitch=250)
    every_fifth = points[rng.random(len(points)) < 0.2]
    for spots in (every_fifth, rng.uniform(0, 900, (90, 2)), np.ones((5, 2))):
        sdata = make(spots, attrs={"slide_properties": {"technology": "st"}})
        with pytest.raises(ValueError, match=r"form no regular lattice.*Pass `image_mpp=`"):
            place(sdata)


def test_visium_is_recognised_by_its_array_positions():
    points, obs = lattice(pitch=180, kind="hex")
    assert place(make(points, obs=obs)).mpp == pytest.approx(100 / 180)


def test_other_arrays_are_not_taken_for_visium():
    points, obs = lattice(pitch=180)
    dense = obs.rename(columns={"row": "array_row", "col": "array_col"})
    even_rows = 2 * dense
    for wrong in (dense, even_rows, obs, dense[["array_row"]]):
        with pytest.raises(ValueError, match=r"Nothing tells the scale of image 'he'\. Pass"):
            place(make(points, obs=wrong))


SUBSETS = {
    "every third row and column": lambda row, col: (row % 3 == 0) & (col % 3 == 0),
    "a checkerboard": lambda row, col: (row + col) % 2 == 0,
    "every other row and column": lambda row, col: (row % 2 == 0) & (col % 2 == 0),
    "three far ones": lambda row, col: (row % 7 == 0) & (col % 7 == 0) & (row + col < 14),
}


@pytest.mark.parametrize("kept", SUBSETS)
def test_array_positions_tell_which_spots_are_missing(kept):
    points, obs = lattice(15, pitch=400)
    obs = obs.rename(columns={"row": "array_row", "col": "array_col"})
    keep = SUBSETS[kept](obs["array_row"], obs["array_col"]).to_numpy()
    st = {"slide_properties": {"technology": "st"}}
    sdata = make(points[keep], obs=obs[keep], attrs=st)
    assert place(sdata).mpp == pytest.approx(0.5)
    assert place(sdata, image_mpp=0.5).mpp == 0.5
    with pytest.warns(UserWarning, match=r"`image_mpp=` says 1 um .* \(200 um\) gives 0\.5\."):
        assert place(sdata, image_mpp=1.0).mpp == 1.0


def test_visium_with_one_spot_in_nine():
    points, obs = lattice(24, pitch=200, kind="hex")
    keep = SUBSETS["every third row and column"](obs["array_row"], obs["array_col"]).to_numpy()
    assert place(make(points[keep], obs=obs[keep])).mpp == pytest.approx(0.5)


def test_spots_on_one_line_of_the_array_tell_no_scale():
    points, obs = lattice(pitch=400)
    obs = obs.rename(columns={"row": "array_row", "col": "array_col"})
    sdata = make(points[:8], obs=obs[:8], attrs={"slide_properties": {"technology": "st"}})
    with pytest.raises(ValueError, match=r"'spots': 8 spots on one line .* Pass `image_mpp=`"):
        place(sdata)
    assert place(sdata, image_mpp=2.0).mpp == 2.0


def test_array_positions_that_are_not_known():
    points, obs = lattice(pitch=400)
    unknown = obs.rename(columns={"row": "array_row", "col": "array_col"}) * np.nan
    sdata = make(points, obs=unknown, attrs={"slide_properties": {"technology": "st"}})
    assert place(sdata).mpp == pytest.approx(0.5)


def test_a_grid_laid_over_the_image_has_no_pitch_of_a_technology():
    points, _ = lattice(pitch=50)
    sdata = make(points, attrs={"slide_properties": {"technology": "visium"}})
    assert place(sdata).mpp == pytest.approx(2.0)
    sdata["table"].X = None
    with pytest.raises(ValueError, match=r"Nothing tells the scale of image 'he'\. Pass"):
        place(sdata)
    assert place(sdata, image_mpp=4.0).mpp == 4.0


def test_never_from_the_spot_diameter_or_an_unknown_technology():
    points, obs = lattice(pitch=180, kind="hex")
    for technology in ("synthetic", "xenium"):
        sdata = make(points, obs=obs, attrs={"slide_properties": {"technology": technology}})
        with pytest.raises(ValueError, match="Nothing tells the scale"):
            place(sdata)


def test_a_single_spot_has_no_pitch():
    sdata = make([[1, 1]], attrs={"slide_properties": {"technology": "st"}})
    with pytest.raises(ValueError, match="Nothing tells the scale"):
        place(sdata)


@pytest.mark.parametrize("wrong", [0, -0.5, np.nan, np.inf])
def test_an_argument_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="`image_mpp` must be a positive number"):
        place(make([[1, 1]]), image_mpp=wrong)


@pytest.mark.parametrize("wrong", [0.04, 21, 352.78])
def test_an_argument_that_no_scanner_has(wrong):
    message = rf"`image_mpp` is {wrong:g}; pixels of a slide measure 0\.05 to 20 micrometres"
    with pytest.raises(ValueError, match=message):
        place(make([[1, 1]]), image_mpp=wrong)
    for right in (0.05, 20):
        assert place(make([[1, 1]]), image_mpp=right).mpp == right


@pytest.mark.parametrize("wrong", [0, -0.5, np.nan, np.inf, 0.0274, 352.78, "wide"])
def test_a_record_that_no_scanner_makes_says_nothing(wrong):
    with pytest.raises(
        ValueError, match=r"Nothing tells .*slide_properties'\] says .* um per pixel"
    ):
        place(make([[1, 1]], attrs=known(wrong)))
    points, _ = lattice(pitch=400)
    assert place(make(points, attrs=known(wrong, technology="st"))).mpp == pytest.approx(0.5)


def test_a_region_without_its_scale():
    with pytest.raises(KeyError, match="No `image_mpp` for region 'spots'; available: 'a'"):
        place(make([[1, 1]]), image_mpp={"a": 1.0})


# whatever lies on an image


def test_spots_tell_the_scale_of_their_image_to_those_who_ask_for_the_image_alone():
    points, obs = lattice(pitch=180, kind="hex")
    assert image_scale(make(points, obs=obs), "he") == pytest.approx(100 / 180)
    assert image_scale(make(points, obs=obs, attrs=known(0.5)), "he") == 0.5
    with pytest.warns(UserWarning, match=r"says 2 um per pixel, but .* gives 0\.5556"):
        assert image_scale(make(points, obs=obs, attrs=known(2.0)), "he") == pytest.approx(
            100 / 180
        )
    with pytest.raises(ValueError, match=r"Nothing tells the scale of image 'he'\. Pass"):
        image_scale(make(points), "he")


def test_spots_of_two_slides_that_share_coordinates_tell_nothing():
    one, obs = lattice(pitch=180, kind="hex")
    sdata = make(one, obs=obs)
    other = make(one * 2, obs=obs)
    sdata.shapes["more"] = other.shapes["spots"]
    table = other.tables["table"]
    table.obs["region"] = pd.Categorical(["more"] * table.n_obs)
    sdata.tables["more_table"] = TableModel.parse(
        table, region="more", region_key="region", instance_key="spot_id", overwrite_metadata=True
    )
    with pytest.raises(ValueError, match="spots of 'spots', 'more' tell scales that differ"):
        image_scale(sdata, "he")


def test_a_table_whose_spots_are_gone_tells_nothing():
    points, obs = lattice(pitch=180, kind="hex")
    sdata = make(points, obs=obs)
    del sdata.shapes["spots"]
    with pytest.raises(ValueError, match="Nothing tells the scale"):
        image_scale(sdata, "he")
