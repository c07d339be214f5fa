"""Grids: how many spots, how far apart, where; a slide that embeds and predicts; every refusal."""

from __future__ import annotations

import dask.array as da
import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel
from spatialdata.transformations import Identity, Scale, get_transformation
from support import colours

import stflow as stf

MPP, SIDE = 2.0, 1000
DISC = shapely.Point(480, 520).buffer(400, quad_segs=64)
HALF = shapely.box(0, 0, 500, SIDE)


def slide(*pieces: shapely.Geometry, mpp: float | None = MPP, **kwargs) -> SpatialData:
    """An image that is never read, and tissue on it."""
    image = Image2DModel.parse(
        da.zeros((3, SIDE, SIDE), dtype=np.uint8), dims="cyx", c_coords=list("rgb"), **kwargs
    )
    attrs = {} if mpp is None else {"slide_properties": {"mpp": mpp}}
    sdata = SpatialData(images={"he": image}, attrs=attrs)
    if pieces:
        sdata["tissue"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=list(pieces)))
    return sdata


def cell(pitch: float, lattice: str) -> float:
    return pitch**2 * (np.sqrt(3) / 2 if lattice == "hex" else 1)


@settings(max_examples=40)
@given(pitch=st.floats(30, 200), lattice=st.sampled_from(["hex", "square"]))
def test_count_distance_and_place_of_the_spots(pitch: float, lattice: str):
    sdata = slide(DISC)
    stf.pp.grid(sdata, pitch, lattice=lattice)
    px = pitch / MPP
    xy = sdata["table"].obsm["spatial"]
    assert shapely.contains_xy(DISC, xy).all()
    border = DISC.length * px
    assert abs(len(xy) * cell(px, lattice) - DISC.area) < border / 2
    around = 6 if lattice == "hex" else 4
    nearest = KDTree(xy).query(xy, k=around + 2)[0][:, 1:]
    assert nearest[:, 0] == pytest.approx(px)
    inner = shapely.contains_xy(DISC.buffer(-1.5 * px), xy)
    if inner.any():
        assert nearest[inner, around - 1] == pytest.approx(px)
        assert (nearest[inner, around] > 1.4 * px).all()


@pytest.mark.parametrize("lattice", ["hex", "square"])
def test_half_the_pitch_holds_all_places_of_the_coarser_grid(lattice: str):
    sdata = slide(DISC)
    stf.pp.grid(sdata, 60, lattice=lattice)
    stf.pp.grid(sdata, 30, lattice=lattice, key_added="fine", table_key="fine_table")
    fine = KDTree(sdata["fine_table"].obsm["spatial"])
    assert fine.query(sdata["table"].obsm["spatial"])[0] == pytest.approx(0, abs=1e-9)
    stf.pp.grid(sdata, 40, lattice=lattice, key_added="other", table_key="other_table")
    away = KDTree(sdata["other_table"].obsm["spatial"]).query(sdata["table"].obsm["spatial"])[0]
    assert away.max() > 5


def test_holes_and_several_pieces():
    ring = shapely.box(105, 105, 405, 405).difference(shapely.box(155, 155, 355, 355))
    pieces = ring, shapely.box(305, 605, 905, 905), shapely.box(355, 655, 505, 705)
    sdata = slide(*pieces)
    stf.pp.grid(sdata, 20, lattice="square")
    xy = sdata["table"].obsm["spatial"]
    assert not shapely.contains_xy(shapely.box(155, 155, 355, 355), xy).any()
    assert len(xy) == 30 * 30 - 20 * 20 + 60 * 30
    assert len(np.unique(xy, axis=0)) == len(xy)


def test_without_tissue_it_covers_the_image():
    sdata = slide()
    stf.pp.grid(sdata, 40, lattice="square", tissue_key=None)
    xy = sdata["table"].obsm["spatial"]
    assert len(xy) == 49 * 49
    assert [500.0, 500.0] in xy.tolist()


def test_what_is_written():
    sdata = slide(DISC, transformations={"global": Identity(), "room": Scale([3, 3], ("x", "y"))})
    sdata["tissue"] = ShapesModel.parse(
        gpd.GeoDataFrame(geometry=[DISC]), transformations={"room": Scale([3, 3], ("x", "y"))}
    )
    stf.pp.grid(sdata, 100)
    table, spots = sdata["table"], sdata["spots"]
    assert table.n_vars == 0
    assert spots["radius"].to_numpy() == pytest.approx(0.275 * 100 / MPP)
    assert list(spots.index) == list(table.obs_names) == list(table.obs["spot_id"])
    assert np.array_equal(shapely.get_coordinates(spots.geometry), table.obsm["spatial"])
    assert get_transformation(spots, get_all=True).keys() == {"global", "room"}
    assert table.uns["spatialdata_attrs"]["region"] == "spots"


def test_tissue_drawn_in_another_coordinate_system_lands_on_the_image():
    sdata = slide()
    drawn = shapely.transform(DISC, lambda xy: xy / 10)
    sdata["tissue"] = ShapesModel.parse(
        gpd.GeoDataFrame(geometry=[drawn]), transformations={"global": Scale([10, 10], ("x", "y"))}
    )
    stf.pp.grid(sdata, 50)
    plain = slide(DISC)
    stf.pp.grid(plain, 50)
    assert sdata["table"].obsm["spatial"] == pytest.approx(plain["table"].obsm["spatial"])


def test_the_scale_can_be_given():
    sdata, told = slide(DISC, mpp=None), slide(DISC, mpp=4.0)
    stf.pp.grid(sdata, 80, image_mpp=1.0)
    stf.pp.grid(told, 80, image_mpp=1.0)
    assert np.array_equal(sdata["table"].obsm["spatial"], told["table"].obsm["spatial"])
    stf.pp.grid(told, 80, overwrite=True)
    assert told["table"].n_obs > 10 * sdata["table"].n_obs


def test_a_slide_with_nothing_but_an_image_is_predicted(tissue, model):
    """Tissue, grid, embedding, graph and prediction; the spots are those of the tissue."""
    whole = tissue["S1"]
    sdata = SpatialData(images={"he": whole["he"]}, attrs=dict(whole.attrs))
    stf.pp.detect_tissue(sdata)
    stf.pp.grid(sdata, 200)
    quiet = {"show_progress_bar": False}
    stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, **quiet)
    stf.pp.neighbors(sdata)
    assert np.diff(sdata["table"].obsp["spatial_connectivities"].indptr).max() == 12
    stf.tl.predict(sdata, model, **quiet)
    predicted = stf.get.predicted(sdata)
    assert list(predicted.var_names) == list(model.genes)
    assert np.isfinite(predicted.X).all()


def test_not_inplace_returns_the_spots_and_writes_nothing():
    sdata = slide(DISC)
    stf.pp.grid(sdata, 60, key_added="old", table_key="old_table")
    held = [name for _, name, _ in sdata.gen_elements()]
    spots = stf.pp.grid(sdata, 90, key_added="old", table_key="old_table", inplace=False)
    assert [name for _, name, _ in sdata.gen_elements()] == held
    assert len(spots) < len(sdata["old"])
    assert stf.pp.grid(sdata, 90) is None
    assert spots.equals(sdata["spots"])
    assert get_transformation(spots, get_all=True) == get_transformation(
        sdata["spots"], get_all=True
    )


def test_nothing_is_overwritten_unless_asked():
    sdata = slide(DISC)
    stf.pp.grid(sdata, 60)
    spots, table = sdata["spots"], sdata["table"]
    for given_names in ({}, {"key_added": "more"}, {"table_key": "more"}):
        with pytest.raises(ValueError, match=r"already holds '(spots|table)', in its (sh|tab)"):
            stf.pp.grid(sdata, 90, **given_names)
    with pytest.raises(ValueError, match="already holds 'he', in its images"):
        stf.pp.grid(sdata, 90, key_added="he", overwrite=True)
    with pytest.raises(ValueError, match="already holds 'tissue', in its shapes"):
        stf.pp.grid(sdata, 90, key_added="fine", table_key="tissue", overwrite=True)
    assert sdata["spots"] is spots
    assert sdata["table"] is table
    stf.pp.grid(sdata, 90, overwrite=True)
    assert sdata["table"].n_obs < table.n_obs


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ({"key_added": "q", "table_key": "q"}, ValueError, "'q'`, need two names"),
        ({"key_added": "q", "table_key": "Q"}, ValueError, "need two names"),
        ({"table_key": "Tissue"}, ValueError, "already holds 'tissue', in its shapes"),
        ({"key_added": "HE", "overwrite": True}, ValueError, "already holds 'he', in its images"),
        ({"table_key": "a table"}, ValueError, "`table_key` is 'a table'; the name of an element"),
        ({"table_key": "__t"}, ValueError, "`table_key` is '__t'; the name of an element"),
        ({"key_added": ""}, ValueError, "`key_added` is ''; the name of an element"),
        ({"table_key": None}, TypeError, "`table_key` is a NoneType, not the name"),
    ],
)
def test_names_that_cannot_be_written(names: dict, error: type, message: str):
    sdata = slide(DISC)
    with pytest.raises(error, match=message):
        stf.pp.grid(sdata, 90, **names)
    assert list(sdata.shapes) == ["tissue"]
    assert not sdata.tables


@pytest.mark.parametrize(("left", "n_places"), [(300, 0), (SIDE / 2 - 10, 1)])
def test_a_grid_coarser_than_the_tissue(left: float, n_places: int):
    """Whether or not a place of the lattice happens to lie in it."""
    sdata = slide(shapely.box(left, left, left + 20, left + 30))
    message = r"500 um is too coarse for the tissue, which takes 2,400 um2 in a box of 40 x 60 um: "
    with pytest.raises(ValueError, match=f"{message}{n_places} places"):
        stf.pp.grid(sdata, 500)
    assert list(sdata.shapes) == ["tissue"]
    assert not sdata.tables
    stf.pp.grid(sdata, 10)


def test_a_grid_of_far_too_many_spots():
    with pytest.raises(ValueError, match=r"would lay .* more than 20,000,000. Pass a larger"):
        stf.pp.grid(slide(DISC), 0.2)


@pytest.mark.parametrize("pitch", [0, -100, np.nan, np.inf])
def test_pitches_that_make_no_sense(pitch: float):
    with pytest.raises(ValueError, match="`pitch_um` must be a positive number"):
        stf.pp.grid(slide(DISC), pitch)


def test_keys_and_words_that_are_wrong():
    with pytest.raises(ValueError, match="`lattice` is 'round'; available: 'hex', 'square'"):
        stf.pp.grid(slide(DISC), lattice="round")
    with pytest.raises(KeyError, match=r"No shapes element 'tissue'.*`stf.pp.detect_tissue` first"):
        stf.pp.grid(slide())
    with pytest.raises(KeyError, match="No image 'other'; available: 'he'"):
        stf.pp.grid(slide(DISC), image_key="other")
    with pytest.raises(ValueError, match=r"scale of image 'he'. Pass `image_mpp="):
        stf.pp.grid(slide(DISC, mpp=None))
    with pytest.raises(TypeError, match="Expected SpatialData, not int"):
        stf.pp.grid(3)


def test_tissue_that_is_none():
    sdata = slide()
    sdata["tissue"] = ShapesModel.parse(np.ones((3, 2)), geometry=0, radius=1)
    with pytest.raises(ValueError, match="Shapes 'tissue' hold 'Point'; tissue is polygons"):
        stf.pp.grid(sdata)
    sdata["tissue"] = ShapesModel.parse(
        gpd.GeoDataFrame(geometry=[DISC]), transformations={"elsewhere": Identity()}
    )
    with pytest.raises(ValueError, match="share no coordinate system"):
        stf.pp.grid(sdata)


def test_spots_on_what_is_excluded_are_left_out():
    sdata = slide(DISC)
    stf.pp.grid(sdata, 50, key_added="all", table_key="t")
    frame = gpd.GeoDataFrame({"kind": ["pen", "fold"]}, geometry=[HALF, shapely.MultiPolygon()])
    sdata["artifacts"] = ShapesModel.parse(frame)
    stf.pp.grid(sdata, 50, exclude="artifacts")
    radius, xy = sdata["all"]["radius"], sdata["t"].obsm["spatial"]
    discs = shapely.buffer(shapely.points(xy), radius)
    share = shapely.area(shapely.intersection(discs, HALF)) / shapely.area(discs)
    left = sdata["table"]
    assert list(left.obs_names) == list(sdata["t"].obs_names[share <= 0.25])
    assert left.obs["artifacts"].to_numpy() == pytest.approx(share[share <= 0.25], abs=1e-9)
    assert (left.obs["artifacts_pen"] == left.obs["artifacts"]).all()
    assert (left.obs["artifacts_fold"] == 0).all()
    stf.pp.grid(sdata, 50, exclude="artifacts", max_covered=1, overwrite=True)
    assert list(sdata["table"].obs_names) == list(sdata["t"].obs_names)


def test_shapes_without_kinds_can_be_excluded():
    sdata = slide(DISC)
    sdata["necrosis"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[HALF]))
    found = stf.pp.grid(sdata, 50, exclude="necrosis", max_covered=0, inplace=False)
    assert (found.geometry.x >= 500).all()
    stf.pp.grid(sdata, 50, exclude="necrosis")
    assert list(sdata["table"].obs.columns) == ["region", "spot_id", "necrosis"]


def test_exclusions_that_make_no_sense():
    sdata = slide(DISC)
    with pytest.raises(
        KeyError, match=r"No shapes element for `exclude=` 'no'; available: 'tissue'"
    ):
        stf.pp.grid(sdata, exclude="no")
    with pytest.raises(ValueError, match=r"`max_covered` must be a share from 0 to 1, not 1.5"):
        stf.pp.grid(sdata, max_covered=1.5)
    with pytest.raises(ValueError, match=r"All \d+ spots lie on shapes 'tissue', for `exclude=`"):
        stf.pp.grid(sdata, exclude="tissue")
    sdata["points"] = ShapesModel.parse(np.ones((2, 2)), geometry=0, radius=1)
    with pytest.raises(ValueError, match=r"Shapes 'points', for `exclude=`, hold 'Point'"):
        stf.pp.grid(sdata, exclude="points")
    assert set(sdata.shapes) == {"tissue", "points"}
