"""Outlines of spots in an embedding: what is written, who reads it, real tissue, every refusal."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
import spatialdata as sd
from spatialdata import SpatialData
from spatialdata.models import Labels2DModel, ShapesModel
from support import lies_on_disk

import stflow as stf
from stflow.encoders._encoder import Encoder
from stflow.pp import _embed_area as module
from stflow.pp import embed

KEY = "X_embedding"


def cells(**how) -> SpatialData:
    return stf.datasets.synthetic_cells(1, n_spots=16, n_genes=4, image_mpp=2.0, **how)["S1"]


@pytest.fixture(scope="module")
def slide() -> SpatialData:
    return cells()


@pytest.fixture(scope="module")
def encoder(two_stages) -> Encoder:
    return two_stages


def run(sdata, encoder, **how):
    given = {"encoder": encoder, "inplace": False, "overwrite": True, "show_progress_bar": False}
    given |= {"table_key": "cells_table", "mpp": 2.0, "widths_um": (30, 112), "outlines": True}
    return embed(sdata, **{**given, **how})


def with_shapes(sdata: SpatialData, geometry) -> SpatialData:
    """The same slide, where cells look otherwise."""
    frame = gpd.GeoDataFrame(geometry=geometry, index=sdata["cells"].index)
    transformations = sd.transformations.get_transformation(sdata["cells"], get_all=True)
    return SpatialData(
        images={"he": sdata["he"]},
        shapes={"cells": ShapesModel.parse(frame, transformations=transformations)},
        tables={"cells_table": sdata["cells_table"].copy()},
        attrs=sdata.attrs,
    )


def test_outlines_are_the_last_vector(slide, encoder):
    both, alone = run(slide, encoder), run(slide, encoder, outlines=False)
    assert both.obsm[KEY].shape == (slide["cells_table"].n_obs, 60)
    np.testing.assert_array_equal(both.obsm[KEY][:, :40], alone.obsm[KEY])
    assert np.isfinite(both.obsm[KEY]).all()
    assert (both.uns[KEY]["outlines"], alone.uns[KEY]["outlines"]) == (True, False)
    assert both.uns[KEY]["width"] == 60
    tiles = run(slide, encoder, tile_px=32, widths_um=112, outlines=False, mpp=None)
    assert "outlines" not in tiles.uns[KEY]


@pytest.mark.parametrize("mpp", [(2.0, 4.0), (4.0, 2.0)])
def test_read_at_the_scale_of_the_narrowest_box(slide, encoder, mpp):
    how = {"how": "area", "mpp": mpp}
    wide = run(slide, encoder, **how, widths_um=(30, 112)).obsm[KEY][:, 40:]
    np.testing.assert_array_equal(wide, run(slide, encoder, mpp=mpp[0]).obsm[KEY][:, 40:])
    assert (wide != run(slide, encoder, mpp=mpp[1]).obsm[KEY][:, 40:]).any()
    turned = run(slide, encoder, **how, widths_um=(112, 30)).obsm[KEY][:, 40:]
    np.testing.assert_array_equal(turned, run(slide, encoder, mpp=mpp[1]).obsm[KEY][:, 40:])


def test_squares_are_boxes_and_circles_are_round(slide, encoder):
    centres = slide["cells_table"].obsm["spatial"]
    half = 112 / 2.0 / 2
    squares = with_shapes(slide, shapely.box(*(centres - half).T, *(centres + half).T))
    table = run(squares, encoder, widths_um=112)
    boxes, own = np.split(table.obsm[KEY], 2, axis=1)
    np.testing.assert_allclose(own**2, boxes**2, atol=1e-5)
    radius = 10.0
    frame = gpd.GeoDataFrame(
        {"radius": radius}, geometry=shapely.points(centres), index=slide["cells"].index
    )
    round_ones = with_shapes(slide, shapely.buffer(shapely.points(centres), radius))
    circles = with_shapes(slide, slide["cells"].geometry.values)
    circles["cells"] = ShapesModel.parse(frame)
    found = [run(each, encoder).obsm[KEY][:, 40:] for each in (circles, round_ones)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_many_vectors_lie_on_disk(slide, encoder, monkeypatch):
    expected = run(slide, encoder).obsm[KEY]
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    sdata = cells()
    run(sdata, encoder, inplace=True)
    lazy = sdata["cells_table"].obsm[KEY]
    assert lies_on_disk(lazy)
    np.testing.assert_array_equal(lazy, expected)


def test_a_cache_serves_both(slide, encoder, tmp_path):
    folder = tmp_path / "cache"
    for outlines in (False, True, False, True):
        found = run(slide, encoder, outlines=outlines, cache=folder).obsm[KEY]
        np.testing.assert_array_equal(found, run(slide, encoder, outlines=outlines).obsm[KEY])


def test_cells_that_cross_themselves_are_mended(slide, encoder):
    geometry = slide["cells"].geometry.values.copy()
    x, y = geometry[3].centroid.coords[0]
    geometry[3] = shapely.Polygon([(x - 3, y - 3), (x + 3, y + 3), (x + 3, y - 3), (x - 3, y + 3)])
    first, second = (
        shapely.Polygon([(x, y), (x + side, y - 3), (x + side, y + 3)]) for side in (-3, 3)
    )
    with pytest.warns(
        UserWarning, match=r"1 of .* shapes 'cells' cross themselves, mended: 'cell4'"
    ):
        found = run(with_shapes(slide, geometry), encoder).obsm[KEY]
    geometry[3] = shapely.MultiPolygon([first, second])
    np.testing.assert_allclose(
        found, run(with_shapes(slide, geometry), encoder).obsm[KEY], atol=1e-6
    )


def test_a_model_reads_only_what_was_made_its_way(encoder):
    train, test = cells(), cells(seed=1)
    for sdata, outlines in ((train, True), (test, False)):
        run(sdata, encoder, inplace=True, outlines=outlines)
        stf.pp.neighbors(sdata, table_key="cells_table")
    how = {"table_key": "cells_table", "show_progress_bar": False}
    config = {"n_flows": 1, "n_layers": 1, "hidden": 8}
    genes = list(train["cells_table"].var_names[:2])
    model = stf.tl.fit(
        {"S1": train}, genes=genes, units="counts", config=config, max_epochs=1, **how
    )
    call = (
        r"`stf.pp.embed\(sdata, encoder='small', how='area', widths_um=\[30.0, 112.0\], "
        r"mpp=\[2.0, 2.0\], outlines=True, overwrite=True\)`"
    )
    with pytest.raises(ValueError, match=rf"outlines=False.* not that of .*outlines=True.*{call}"):
        stf.tl.predict(test, model, **how)
    run(test, encoder, inplace=True)
    stf.tl.predict(test, model, **how)
    assert np.isfinite(test["cells_table"].obsm["stflow"].to_numpy()).all()


@pytest.mark.parametrize("asked", [{"how": "tiles", "mpp": None}, {"tile_px": 32, "mpp": None}])
def test_tiles_have_no_outlines(slide, encoder, asked):
    with pytest.raises(ValueError, match=r"`outlines=` reads maps .* leave out `how='tiles'`"):
        run(slide, encoder, **asked)


def test_an_encoder_without_maps_has_no_outlines(slide, colour_encoder):
    with pytest.raises(ValueError, match=r"`outlines=` reads maps .*encoders.list"):
        run(slide, colour_encoder, mpp=None)


def test_cells_without_an_area_are_named(slide, encoder):
    geometry = slide["cells"].geometry.values.copy()
    geometry[5] = shapely.box(90, 90, 90.01, 90.01)
    with pytest.raises(ValueError, match=r"1 of .* shapes 'cells' have no area.*: 'cell6'"):
        run(with_shapes(slide, geometry), encoder)


def test_labels_are_no_outlines(slide, encoder):
    mask = np.zeros((60, 60), dtype=int)
    mask[10:20, 10:20], mask[30:40, 30:40] = 1, 2
    table = slide["cells_table"][:2].copy()
    table.obs["region"] = "masks"
    table.obs["region"] = table.obs["region"].astype("category")
    table.obs["spot_id"] = [1, 2]
    table.uns["spatialdata_attrs"] = table.uns["spatialdata_attrs"] | {"region": "masks"}
    sdata = SpatialData(
        images={"he": slide["he"]},
        labels={"masks": Labels2DModel.parse(mask, dims=("y", "x"))},
        tables={"cells_table": table},
        attrs=slide.attrs,
    )
    with pytest.raises(ValueError, match=r"'masks' are labels.*spatialdata.to_polygons"):
        run(sdata, encoder)


def test_real_tissue(data_dir, encoder):
    """Cells fabricated on her2st: squares are boxes, others are not, none is NaN."""
    sdata = stf.datasets.her2st("C2")
    centres = sdata["table"].obsm["spatial"]
    mpp = sdata.attrs["slide_properties"]["mpp"]
    shapes = shapely.box(*(centres - 28 / mpp).T, *(centres + 28 / mpp).T)
    holes = shapely.buffer(shapely.points(centres[::2]), 15 / mpp)
    shapes[::2] = shapely.difference(shapes[::2], holes)
    sdata["spots"] = ShapesModel.parse(
        gpd.GeoDataFrame(geometry=shapes, index=sdata["spots"].index)
    )
    found = run(sdata, encoder, table_key="table", widths_um=56, mpp=1.0).obsm[KEY]
    boxes, own = found[:, :20], found[:, 20:]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(own[1::2] ** 2, boxes[1::2] ** 2, atol=1e-5)
    assert (np.abs(own[::2] - boxes[::2]).max(axis=1) > 3e-4).all()
