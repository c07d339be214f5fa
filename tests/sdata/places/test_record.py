"""A recorded scale belongs to one image, and reaches others through transformations alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slides import known, make, picture
from spatialdata import SpatialData, bounding_box_query
from spatialdata.transformations import (
    Affine,
    Identity,
    Scale,
    Sequence,
    Translation,
    set_transformation,
)

import stflow as stf
from stflow._sdata.places._record import recorded_scale

AXES = ("x", "y")
SLIDE = (3, 300, 400)


def slide(attrs, **images) -> SpatialData:
    return SpatialData(images=images, attrs=attrs)


def at(transformation, shape=SLIDE):
    return picture(shape, transformations={"global": transformation})


def scale(sdata: SpatialData, image: str) -> float | None:
    return recorded_scale(sdata, image).mpp


def test_the_image_of_the_recorded_size_has_the_recorded_scale_wherever_it_lies():
    attrs = known(0.5, shape=(300, 400))
    for place in (Identity(), Scale([0.5, 0.5], AXES), Translation([7, 9], AXES)):
        assert scale(slide(attrs, he=at(place)), "he") == 0.5
    away = picture(SLIDE, transformations={"scanner": Identity()})
    assert scale(slide(attrs, he=away), "he") == 0.5


@given(factor=st.sampled_from([2, 4, 5, 10, 20]), mpp=st.floats(0.1, 2))
def test_an_overview_is_coarser_by_its_transformation(factor: int, mpp: float):
    overview = at(Scale([factor, factor], AXES), (3, 300 // factor, 400 // factor))
    sdata = slide(known(mpp, shape=(300, 400)), he=at(Identity()), small=overview)
    assert scale(sdata, "small") == pytest.approx(factor * mpp)
    assert scale(sdata, "he") == mpp


def test_an_overview_that_nobody_placed_has_no_scale():
    sdata = slide(
        known(0.5, shape=(300, 400)), he=at(Identity()), small=at(Identity(), (3, 30, 40))
    )
    told = recorded_scale(sdata, "small")
    assert told.mpp is None
    assert "0.5 um per pixel of an image of 400 x 300 pixels" in told.source
    assert "'small', 40 x 30 pixels" in told.source


def test_a_turned_overview():
    turned = Sequence([Affine([[0, -10, 400], [10, 0, 0], [0, 0, 1]], AXES, AXES)])
    sdata = slide(known(0.5, shape=(300, 400)), small=at(turned, (3, 40, 30)))
    assert scale(sdata, "small") == pytest.approx(5.0)


def test_a_crop_keeps_the_scale_where_it_was_cut():
    sdata = slide(known(0.5, shape=(300, 400)), he=at(Identity()))
    crop = bounding_box_query(
        sdata, axes=AXES, min_coordinate=[100, 50], max_coordinate=[200, 90],
        target_coordinate_system="global",
    )  # fmt: skip
    assert crop["he"].sizes["x"] == 100
    assert scale(crop, "he") == 0.5
    beyond = at(Translation([350, 0], AXES), (3, 100, 100))
    assert scale(slide(known(0.5, shape=(300, 400)), he=beyond), "he") is None


def test_what_spatialdata_resampled_to_other_coordinates_has_no_scale():
    sdata = slide(known(0.5, shape=(300, 400)), he=at(Identity()))
    set_transformation(sdata["he"], Scale([0.25, 0.25], AXES), "quarter")
    quarter = sdata.transform_to_coordinate_system("quarter")
    assert quarter["he"].sizes["x"] == 100
    assert scale(quarter, "he") is None
    assert scale(sdata.transform_to_coordinate_system("global"), "he") == 0.5


def test_without_the_size_of_its_image_a_record_is_of_pixels_of_global():
    attrs = {"slide_properties": {"mpp": 0.5}}
    assert scale(slide(attrs, he=at(Translation([9, 9], AXES))), "he") == 0.5
    assert scale(slide(attrs, he=at(Scale([10, 10], AXES))), "he") is None
    assert scale(slide(attrs, he=picture(SLIDE, transformations={"a": Identity()})), "he") is None
    two = slide(attrs, he=at(Identity()), small=at(Identity(), (3, 30, 40)))
    assert scale(two, "he") is None
    assert scale(slide(attrs, he=at(Identity()), normalized=at(Identity())), "he") == 0.5


def test_a_record_of_nothing():
    told = recorded_scale(slide({}, he=at(Identity())), "he")
    assert (told.mpp, told.source) == (None, "")


# every verb that asks for a scale


def stores(colour) -> dict[str, SpatialData]:
    """An overview of a slide of 400 x 300 pixels of 4 um, placed and not, with spots on it."""
    points = np.stack(np.meshgrid(np.arange(60, 360, 60), np.arange(60, 260, 60)), -1).reshape(
        -1, 2
    )
    small = {"placed": Scale([10, 10], AXES), "unplaced": Identity()}
    attrs = known(1.0, shape=(300, 400))
    images = {
        name: picture((3, 30, 40), transformations={"global": place})
        for name, place in small.items()
    }
    return {name: make(points, images={"he": image}, attrs=attrs) for name, image in images.items()}


def test_verbs_read_the_overview_at_its_own_scale(colour_encoder):
    sdata = stores(colour_encoder)["placed"]
    stf.pp.embed(
        sdata, encoder=colour_encoder, mpp=10.0, tile_px=4, device="cpu", show_progress_bar=False
    )
    assert sdata["table"].uns["X_embedding"]["image_mpp"] == {"spots": pytest.approx(10.0)}
    stf.pp.neighbors(sdata)
    assert sdata["table"].obsp["spatial_distances"].data.min() == pytest.approx(60.0)
    stf.pp.grid(sdata, 100, lattice="square", tissue_key=None, key_added="g", table_key="t")
    assert sdata["t"].n_obs == 4 * 3


def test_verbs_refuse_an_overview_that_nobody_placed(colour_encoder):
    sdata = stores(colour_encoder)["unplaced"]
    how = {"encoder": colour_encoder, "device": "cpu", "show_progress_bar": False}
    calls = {
        "embed": lambda: stf.pp.embed(sdata, mpp=1.0, tile_px=4, **how),
        "neighbors": lambda: stf.pp.neighbors(sdata),
        "grid": lambda: stf.pp.grid(sdata, tissue_key=None, key_added="g", table_key="t"),
        "detect_tissue": lambda: stf.pp.detect_tissue(sdata),
    }
    for call in calls.values():
        with pytest.raises(
            ValueError, match=r"400 x 300 pixels, and nothing relates 'he', 40 x 30"
        ):
            call()
    stf.pp.neighbors(sdata, image_mpp=10.0)
    assert sdata["table"].obsp["spatial_distances"].data.min() == pytest.approx(600.0)
