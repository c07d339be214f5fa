"""Outlines as spots: where they lie, what is mended, a slide that is predicted; every refusal."""

from __future__ import annotations

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import shapely
from anndata import AnnData
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import Identity, Scale, get_transformation
from support import colours

import stflow as stf

SIDE = 1000
ELL = shapely.Polygon([(0, 0), (30, 0), (30, 10), (10, 10), (10, 30), (0, 30)])
RING = shapely.box(0, 0, 40, 40).difference(shapely.box(5, 5, 35, 15))
BOW = shapely.Polygon([(0, 0), (20, 20), (20, 0), (0, 60)])


def at(shape: shapely.Geometry, x: float, y: float) -> shapely.Geometry:
    return shapely.transform(shape, lambda xy: xy + np.array([x, y]))


def slide(*cells: shapely.Geometry | None, mpp: float | None = 0.5, **kwargs) -> SpatialData:
    """An image that is never read, and outlines on it."""
    image = Image2DModel.parse(
        da.zeros((3, SIDE, SIDE), dtype=np.uint8), dims="cyx", c_coords=list("rgb")
    )
    attrs = {} if mpp is None else {"slide_properties": {"mpp": mpp}}
    sdata = SpatialData(images={"he": image}, attrs=attrs)
    frame = gpd.GeoDataFrame(kwargs.pop("columns", {}), geometry=list(cells))
    sdata["cells"] = ShapesModel.parse(frame, **kwargs)
    return sdata


def test_an_outline_is_a_spot_at_its_centroid_by_area():
    cells = [at(ELL, 100, 200), at(RING, 300, 300), at(ELL, 500, 500)]
    sdata = slide(*cells, columns={"classification": ["Tumor", "Stroma", "Tumor"]})
    held = sdata["cells"].copy()
    stf.pp.grid(sdata, shapes_key="cells")
    table, spots = sdata["table"], sdata["spots"]
    assert list(table.obs_names) == list(spots.index) == ["0", "1", "2"]
    # 200 of the 500 in the long arm above, 300 below it, and the ring without its hole
    ell = (20 * 10 * 5 + 30 * 10 * 15) / 500
    hole = (40 * 40 * 20 - 30 * 10 * 10) / 1300
    expected = [(100 + ell, 200 + ell), (320, 300 + hole), (500 + ell, 500 + ell)]
    np.testing.assert_allclose(table.obsm["spatial"], expected)
    assert table.n_vars == 0
    assert list(spots["classification"]) == ["Tumor", "Stroma", "Tumor"]
    assert spots.geometry.iloc[1].equals(cells[1])
    assert table.uns["spatialdata_attrs"]["region"] == "spots"
    assert sdata["cells"].equals(held)


def test_outlines_of_another_coordinate_system_land_on_the_image():
    small = slide(shapely.box(10, 10, 14, 18), transformations={"global": Scale([5, 5], "xy")})
    stf.pp.grid(small, shapes_key="cells")
    np.testing.assert_allclose(small["table"].obsm["spatial"], [[60, 70]])
    assert small["spots"].geometry.iloc[0].equals(shapely.box(50, 50, 70, 90))
    assert get_transformation(small["spots"]) == Identity()


def test_circles_are_spots_too():
    sdata = slide(shapely.box(10, 10, 20, 20))
    sdata["round"] = ShapesModel.parse(
        np.array([[10.0, 20.0], [30.0, 40.0]]),
        geometry=0,
        radius=2.0,
        transformations={"global": Scale([5, 5], "xy")},
    )
    stf.pp.grid(sdata, shapes_key="round")
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], [[50, 100], [150, 200]])
    np.testing.assert_allclose(sdata["spots"]["radius"], 10)


def test_what_crosses_itself_is_mended_with_a_warning():
    bow = at(BOW, 100, 100)
    assert not bow.is_valid
    sdata = slide(at(ELL, 500, 500), bow)
    with pytest.warns(UserWarning, match=r"1 of 2 shapes 'cells' cross themselves .* mended: '1'"):
        stf.pp.grid(sdata, shapes_key="cells")
    spots = sdata["spots"]
    assert spots.is_valid.all()
    # two triangles that meet at (15, 15)
    areas, middles = np.array([450.0, 50.0]), np.array([[5, 25], [55 / 3, 35 / 3]])
    assert spots.area.iloc[1] == pytest.approx(500)
    np.testing.assert_allclose(
        sdata["table"].obsm["spatial"][1] - 100, np.average(middles, axis=0, weights=areas)
    )
    plain = np.array([bow.centroid.x, bow.centroid.y])  # what a crossing outline would give
    assert np.abs(sdata["table"].obsm["spatial"][1] - plain).max() > 1


def test_outlines_with_a_table_of_their_own_are_placed_by_the_same_rule():
    """As sopa leaves them: the table annotates what crosses itself or is empty."""
    sdata = slide(at(ELL, 500, 500), at(BOW, 100, 100), at(ELL, 700, 500))
    names = np.arange(3)
    obs = pd.DataFrame({"region": pd.Categorical(["cells"] * 3), "cell": names}, names.astype(str))
    table = AnnData(sp.csr_matrix((3, 1), dtype=np.float32), obs=obs)
    sdata["t"] = TableModel.parse(table, region="cells", region_key="region", instance_key="cell")
    stf.pp.neighbors(sdata, n_neighs=2, table_key="t")
    found = sdata["t"].obsp["spatial_distances"]
    with pytest.warns(UserWarning, match="mended"):
        stf.pp.grid(sdata, shapes_key="cells")
    stf.pp.neighbors(sdata, n_neighs=2)
    np.testing.assert_allclose(
        found.toarray(), sdata["table"].obsp["spatial_distances"].toarray(), rtol=1e-6
    )
    sdata["cells"].loc[0, "geometry"] = shapely.Polygon()
    with pytest.raises(ValueError, match=r"1 spot centres of 'cells' .*pp\.grid\(sdata, shapes"):
        stf.pp.neighbors(sdata, n_neighs=2, table_key="t", overwrite=True)


def test_what_has_no_area_is_left_out_with_a_warning():
    line = shapely.Polygon([(0, 0), (5, 5), (9, 9)])
    cells = [at(ELL, 50, 50), shapely.Polygon(), line, at(ELL, 90, 90), None]
    sdata = slide(*cells)
    with pytest.warns(UserWarning, match=r"3 of 5 shapes 'cells' have no area .*: '1', '2', '4'"):
        stf.pp.grid(sdata, shapes_key="cells")
    assert list(sdata["table"].obs_names) == list(sdata["spots"].index) == ["0", "3"]
    with pytest.raises(ValueError, match=r"2 of 2 shapes 'cells' have no area.*None is left"):
        stf.pp.grid(slide(shapely.Polygon(), line), shapes_key="cells")


def test_of_two_outlines_around_one_place_the_first_stays():
    wide = shapely.box(90, 90, 110, 110)
    sdata = slide(wide, at(ELL, 300, 300), shapely.box(95, 95, 105, 105))
    with pytest.warns(UserWarning, match="1 of 3 .* have the centroid of another .*: '2'"):
        stf.pp.grid(sdata, shapes_key="cells")
    stf.pp.neighbors(sdata, n_neighs=1)


def test_outlines_on_what_is_excluded_are_left_out_by_their_share():
    """What counts is the area under the mark: more than half of an L, no hole of a ring."""
    sdata = slide(at(ELL, 0, 100), at(RING, 0, 200), at(ELL, 5, 300), at(ELL, 50, 400))
    mark = shapely.box(0, 0, 10, SIDE)
    frame = gpd.GeoDataFrame({"kind": ["pen"]}, geometry=[mark])
    sdata["artifacts"] = ShapesModel.parse(frame)
    ring = (10 * 40 - 5 * 10) / 1300  # the hole counts for nothing
    shares = {"0": 300 / 500, "1": ring, "2": 150 / 500, "3": 0.0}
    for most in (0.25, 0.3, 1.0):
        stf.pp.grid(
            sdata, shapes_key="cells", exclude="artifacts", max_covered=most, overwrite=True
        )
        kept = {name: share for name, share in shares.items() if share <= most}
        obs = sdata["table"].obs
        assert list(obs.index) == list(sdata["spots"].index) == list(kept)
        assert obs["artifacts"].to_numpy() == pytest.approx(list(kept.values()), abs=1e-9)
        assert (obs["artifacts_pen"] == obs["artifacts"]).all()
    assert len(sdata["cells"]) == 4


def test_marks_of_another_scale_lie_on_outlines_all_the_same():
    sdata = slide(at(ELL, 0, 100), at(ELL, 500, 400))
    sdata["drawn"] = ShapesModel.parse(
        gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 20, 40)]),
        transformations={"global": Scale([5, 5], "xy")},
    )
    spots = stf.pp.grid(sdata, shapes_key="cells", exclude="drawn", inplace=False)
    assert list(spots.index) == ["1"]
    with pytest.raises(ValueError, match=r"All 1 spots lie on shapes 'cells'.*`exclude=`"):
        stf.pp.grid(slide(at(ELL, 0, 100)), shapes_key="cells", exclude="cells")


@pytest.mark.parametrize("x", [-100, SIDE + 50])
def test_outlines_outside_the_image(x: float):
    sdata = slide(at(ELL, 50, 50), at(ELL, x, 80))
    with pytest.raises(
        ValueError, match=r"1 of 2 shapes 'cells' lie outside image 'he', .* 1000 x 1000 .*: '1'\."
    ):
        stf.pp.grid(sdata, shapes_key="cells")
    assert not sdata.tables
    stf.pp.grid(slide(at(ELL, 50, 50), at(ELL, -15, 80)), shapes_key="cells")  # over the border


def test_every_other_refusal():
    sdata = slide(at(ELL, 50, 50))
    with pytest.raises(KeyError, match=r"No shapes element 'nuclei'; available: 'cells'.*qupath"):
        stf.pp.grid(sdata, shapes_key="nuclei")
    for lattice in ({"pitch_um": 50}, {"lattice": "square"}, {"tissue_key": "drawn"}):
        with pytest.raises(ValueError, match="`tissue_key=` are of a lattice"):
            stf.pp.grid(sdata, shapes_key="cells", **lattice)
    with pytest.raises(ValueError, match=r"scale of image 'he'\. Pass `image_mpp="):
        stf.pp.grid(slide(at(ELL, 50, 50), mpp=None), shapes_key="cells")
    with pytest.raises(ValueError, match="share no coordinate system"):
        stf.pp.grid(slide(ELL, transformations={"far": Identity()}), shapes_key="cells")
    twins = slide(at(ELL, 50, 50), at(ELL, 90, 50))
    twins["cells"].index = ["a", "a"]
    with pytest.raises(ValueError, match="names in shapes 'cells'"):
        stf.pp.grid(twins, shapes_key="cells")
    mixed = slide(at(ELL, 50, 50), shapely.Point(3, 3))
    with pytest.raises(ValueError, match="hold 'Point'; spots are polygons or circles"):
        stf.pp.grid(mixed, shapes_key="cells")


def test_names_and_nothing_written_unless_asked():
    sdata = slide(at(ELL, 50, 50), at(RING, 80, 80))
    spots = stf.pp.grid(sdata, shapes_key="cells", inplace=False)
    assert len(spots) == 2
    assert not sdata.tables
    with pytest.raises(ValueError, match="already holds 'cells', in its shapes"):
        stf.pp.grid(sdata, shapes_key="cells", key_added="cells")
    stf.pp.grid(sdata, shapes_key="cells", key_added="cells", table_key="t", overwrite=True)
    assert list(sdata.shapes) == ["cells"]
    assert sdata["t"].uns["spatialdata_attrs"]["region"] == "cells"


def test_outlines_are_embedded_and_predicted(tissue, model):
    """The vector of an outline is that of a circle with its centre."""
    whole = tissue["S1"]
    sdata = SpatialData(images={"he": whole["he"]}, attrs=dict(whole.attrs))
    centres = np.array([[p.x, p.y] for p in whole["spots"].geometry])
    ell = at(ELL, -ELL.centroid.x, -ELL.centroid.y)
    sdata["cells"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=[at(ell, *xy) for xy in centres]))
    stf.pp.grid(sdata, shapes_key="cells")
    stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False)
    stf.pp.neighbors(sdata)
    stf.tl.predict(sdata, model, show_progress_bar=False)
    np.testing.assert_allclose(
        sdata["table"].obsm["X_embedding"], whole["table"].obsm["X_embedding"], atol=1e-5
    )
    predicted = stf.get.predicted(sdata)
    stf.tl.predict(whole, model, show_progress_bar=False)
    np.testing.assert_allclose(
        predicted.to_df(), stf.get.predicted(whole)[:, predicted.var_names].to_df(), atol=1e-4
    )
