"""Which image, where spots lie on it, how many micrometres a pixel measures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from spatialdata import SpatialData, read_zarr
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import (
    Affine,
    Identity,
    Scale,
    Sequence,
    Translation,
    get_transformation,
    set_transformation,
)

from stflow._sdata._images import (
    colour_channels,
    get_pyramid,
    resolve_image,
    spot_centres_um,
    spots_on_image,
)
from stflow._sdata._tables import get_regions


def lattice(n=8, pitch=100.0, kind="square") -> tuple[np.ndarray, pd.DataFrame]:
    """Points, and their array positions as spatialdata-io writes them for Visium."""
    row, col = (a.ravel() for a in np.mgrid[:n, :n])
    if kind == "square":
        return np.column_stack([col, row]) * pitch + 50, pd.DataFrame({"row": row, "col": col})
    col = 2 * col + row % 2
    points = np.column_stack([col * pitch / 2, row * pitch * np.sqrt(3) / 2]) + 50
    return points, pd.DataFrame({"array_row": row, "array_col": col})


def make(points, *, images=None, to_global=None, obs=None, attrs=None) -> SpatialData:
    names = [f"s{i}" for i in range(len(points))]
    spots = ShapesModel.parse(
        np.asarray(points, dtype=float),
        geometry=0,
        radius=1,
        index=pd.Index(names),
        transformations={"global": to_global or Identity()},
    )
    table = AnnData(np.zeros((len(points), 1), np.float32), obs=pd.DataFrame(index=names))
    table.obs["region"] = pd.Categorical(["spots"] * len(points))
    table.obs["spot_id"] = names
    for key in () if obs is None else obs:
        table.obs[key] = obs[key].to_numpy()
    table = TableModel.parse(table, region="spots", region_key="region", instance_key="spot_id")
    images = {"he": picture()} if images is None else images
    return SpatialData(
        images=images, shapes={"spots": spots}, tables={"table": table}, attrs=attrs or {}
    )


def picture(shape=(3, 40, 60), **kwargs):
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return Image2DModel.parse(data, dims="cyx", **kwargs)


def place(sdata, **kwargs):
    table = sdata.tables["table"]
    return spots_on_image(sdata, table, get_regions(table)[0], **kwargs)


def known(mpp=0.5, **more) -> dict:
    return {"slide_properties": {"mpp": mpp, **more}}


# which image


def test_the_only_image_or_the_named_one():
    sdata = make([[1, 1]], images={"a": picture(), "b": picture()})
    assert resolve_image(sdata, "b") == "b"
    assert resolve_image(sdata, {"x": "a", "y": "b"}, region="y") == "b"
    assert resolve_image(make([[1, 1]]), None) == "he"


def test_an_image_to_choose_or_that_is_not_there():
    sdata = make([[1, 1]], images={"a": picture(), "b": picture()})
    with pytest.raises(KeyError, match="Pass `image_key=`, one of the images: 'a', 'b'"):
        resolve_image(sdata, None)
    with pytest.raises(KeyError, match="No image 'c'; available: 'a', 'b'"):
        resolve_image(sdata, "c")
    with pytest.raises(KeyError, match="No `image_key` for region 'z'; available: 'x'"):
        resolve_image(sdata, {"x": "a"}, region="z")
    with pytest.raises(KeyError, match="one of the images: none"):
        resolve_image(make([[1, 1]], images={}), None)


# its pyramid


def test_single_scale_and_multiscale_before_and_after_writing(tmp_path):
    images = {"flat": picture(), "tall": picture(scale_factors=[2, 2])}
    sdata = make([[1, 1]], images=images)
    sdata.write(tmp_path / "x.zarr")
    for data in (sdata, read_zarr(tmp_path / "x.zarr")):
        flat, tall = get_pyramid(data, "flat"), get_pyramid(data, "tall")
        assert [level.scale for level in flat] == [(1, 1)]
        assert [level.scale for level in tall] == [(1, 1), (2, 2), (4, 4)]
        assert [level.size for level in tall] == [(60, 40), (30, 20), (15, 10)]
        np.testing.assert_array_equal(flat[0].data, np.asarray(images["flat"].data))


def test_a_level_may_be_smaller_by_any_factor_along_each_axis():
    sdata = make([[1, 1]], images={"he": picture((3, 41, 60), scale_factors=[2])})
    assert get_pyramid(sdata, "he")[1].scale == (2.0, 41 / 20)


@pytest.mark.parametrize("names", [["r", "g", "b", "a"], ["Red", "Green", "Blue", "Alpha"], None])
def test_a_transparent_colour_is_glass(names):
    rgba = np.full((4, 6, 8), 40, np.uint8)
    rgba[3] = np.where(np.arange(8) < 3, 255, 0)
    seen = np.where(np.arange(8) < 3, 40, 255)
    he = Image2DModel.parse(rgba, dims="cyx", c_coords=names, scale_factors=[2])
    levels = get_pyramid(make([[1, 1]], images={"he": he}), "he")
    assert [level.data.shape for level in levels] == [(3, 6, 8), (3, 3, 4)]
    np.testing.assert_array_equal(levels[0].data, np.broadcast_to(seen, (3, 6, 8)))
    drawn = colour_channels(he["scale0"]["image"])
    np.testing.assert_array_equal(drawn, np.broadcast_to(seen, (3, 6, 8)))
    assert drawn.sizes["c"] == 3


def test_channels_are_found_by_name():
    bgr = picture((3, 6, 6), c_coords=["b", "g", "r"])
    marked = picture((4, 6, 6), c_coords=["mask", "r", "g", "b"])
    sdata = make([[1, 1]], images={"bgr": bgr, "marked": marked})
    np.testing.assert_array_equal(get_pyramid(sdata, "bgr")[0].data, bgr.to_numpy()[::-1])
    np.testing.assert_array_equal(get_pyramid(sdata, "marked")[0].data, marked.to_numpy()[1:])
    assert colour_channels(bgr).coords["c"].to_numpy().tolist() == ["r", "g", "b"]


@pytest.mark.parametrize("names", [["DAPI", "FITC", "TRITC"], ["DAPI", "CD3", "CD8", "CD20"]])
def test_fluorescence_is_refused_until_it_is_called_colours(names):
    he = picture((len(names), 6, 6), c_coords=names)
    sdata = make([[1, 1]], images={"he": he})
    with pytest.raises(ValueError, match=r"Image 'he' .*'DAPI', .*`sdata\.set_channel_names`"):
        get_pyramid(sdata, "he")
    assert colour_channels(he) is he
    sdata.set_channel_names("he", ["r", "g", "b", "a"][: len(names)])
    assert get_pyramid(sdata, "he")[0].data.shape == (3, 6, 6)


def test_an_image_that_is_not_rgb():
    wide = Image2DModel.parse(np.zeros((3, 9, 9), np.uint16), dims="cyx")
    sdata = make([[1, 1]], images={"two": picture((2, 9, 9)), "wide": wide})
    with pytest.raises(ValueError, match=r"Image 'two' has shape \(2, 9, 9\)"):
        get_pyramid(sdata, "two")
    with pytest.raises(ValueError, match="Image 'wide' holds uint16"):
        get_pyramid(sdata, "wide")


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


@pytest.mark.parametrize("by_argument", [True, False])
@pytest.mark.parametrize("technology", ["st", None])
def test_a_scale_that_contradicts_the_pitch(by_argument, technology):
    kind, um = ("square", 200) if technology else ("hex", 100)
    points, obs = lattice(pitch=um / 0.5, kind=kind)
    obs = obs.rename(columns={"row": "array_row", "col": "array_col"})

    def place_at(mpp):
        told = {} if by_argument else {"mpp": mpp}
        properties = {"slide_properties": {**told, "technology": technology}}
        sdata = make(points, obs=obs, attrs=properties)
        return place(sdata, **({"image_mpp": mpp} if by_argument else {})).mpp

    assert place_at(0.45) == 0.45
    assert place_at(0.55) == 0.55
    name = "`image_mpp=`" if by_argument else r"attrs\['slide_properties'\]"
    for mpp in (0.39, 0.61, 2.0):
        with pytest.raises(ValueError, match=rf"{name} says {mpp:g} .* \({um} um\) gives 0\.5\."):
            place_at(mpp)


def test_spots_that_are_not_those_of_the_array_contradict_nothing(rng):
    fine, obs = lattice(pitch=50)
    obs = obs.rename(columns={"row": "array_row", "col": "array_col"})
    attrs = known(0.5, technology="st")
    assert place(make(fine, attrs=attrs)).mpp == 0.5
    with pytest.raises(ValueError, match=r"slide_properties'\] says 0\.5 um"):
        place(make(fine, obs=obs, attrs=attrs))
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
        with pytest.raises(ValueError, match=r"Nothing tells the scale.*'spots'\. Pass"):
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
    with pytest.raises(ValueError, match=r"`image_mpp=` says 1 um .* \(200 um\) gives 0\.5\."):
        place(sdata, image_mpp=1.0)


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
    with pytest.raises(ValueError, match=r"Nothing tells the scale.*'spots'\. Pass"):
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
def test_a_scale_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="`image_mpp` must be a positive number"):
        place(make([[1, 1]]), image_mpp=wrong)
    with pytest.raises(ValueError, match="`image_mpp` must be a positive number"):
        place(make([[1, 1]], attrs=known(wrong)))


def test_a_region_without_its_scale():
    with pytest.raises(KeyError, match="No `image_mpp` for region 'spots'; available: 'a'"):
        place(make([[1, 1]]), image_mpp={"a": 1.0})
