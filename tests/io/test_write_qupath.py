"""GeoJSON for QuPath: the same shapes come back, at every scale; each number; every refusal."""

from __future__ import annotations

import json
import uuid
import zipfile
from pathlib import Path

import anndata as ad
import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.affinity
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from spatialdata import SpatialData
from spatialdata.models import Image2DModel, ShapesModel, TableModel
from spatialdata.transformations import (
    Affine,
    Identity,
    Scale,
    remove_transformation,
    set_transformation,
)

import stflow as stf
from stflow.io import _write_qupath as module

RING = shapely.box(100, 100, 160, 160).difference(shapely.box(120, 120, 130, 150))
TWO = shapely.MultiPolygon([shapely.box(200, 20, 240, 60), shapely.box(250, 20, 260, 30)])
CELLS = [shapely.Point(50, 60).buffer(8), RING, TWO]
NAMES = ["a", 'b "quoted" 50 %', "ç/√"]
GENES = ["ERBB2", "HLA-A", "HBA1/HBA2", "5%d"]


def slide(shapes: list[shapely.Geometry] = CELLS, names: list[str] = NAMES) -> SpatialData:
    """Cells on an image whose table names them backwards, with a prediction of four genes."""
    n = len(shapes)
    pixels = da.zeros((3, 300, 400), dtype=np.uint8)
    image = Image2DModel.parse(pixels, dims="cyx", c_coords=list("rgb"))
    cells = ShapesModel.parse(gpd.GeoDataFrame(geometry=shapes, index=names))
    obs = pd.DataFrame({"region": pd.Categorical(["cells"] * n), "cell": names[::-1]})
    table = AnnData(obs=obs.set_axis([str(row) for row in range(n)]))
    table = TableModel.parse(table, region="cells", region_key="region", instance_key="cell")
    columns = [gene.replace("/", "%2F") for gene in GENES]
    values = np.arange(4.0 * n).reshape(n, 4)[::-1]  # cell i has 4 i, 4 i + 1, ...
    table.obsm["stflow"] = pd.DataFrame(values, index=table.obs_names, columns=columns)
    table.obsm["stflow_sd"] = table.obsm["stflow"] / 3
    attrs = {"slide_properties": {"mpp": 0.5}}
    return SpatialData(
        images={"he": image}, shapes={"cells": cells}, tables={"table": table}, attrs=attrs
    )


def features(path: Path) -> list[dict]:
    """The features of a file, which is ASCII and JSON by the letter."""

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    held = json.loads(path.read_bytes().decode("ascii"), parse_constant=refuse)
    assert held["type"] == "FeatureCollection"
    return held["features"]


def written(tmp_path: Path, sdata: SpatialData, *args, **kwargs) -> list[dict]:
    path = tmp_path / "x.geojson"
    stf.io.write_qupath(sdata, path, *args, overwrite=True, show_progress_bar=False, **kwargs)
    return features(path)


def measured(found: list[dict]) -> list[dict]:
    return [each["properties"]["measurements"] for each in found]


def polygons(found: list[dict]) -> list[shapely.Geometry]:
    return [shapely.geometry.shape(each["geometry"]) for each in found]


def same(one: shapely.Geometry, other: shapely.Geometry) -> bool:
    """Whether two outlines have the same corners to within rounding, wherever they start."""
    counts = shapely.get_num_coordinates([one, other])
    near = one.boundary.hausdorff_distance(other.boundary) < 0.0072
    return one.geom_type == other.geom_type and counts[0] == counts[1] and near


def test_outlines_names_and_numbers_by_instance(tmp_path: Path) -> None:
    sdata = slide()
    found = written(tmp_path, sdata)
    assert [each["properties"]["name"] for each in found] == NAMES[::-1]
    ids = [each["id"] for each in found]
    assert [str(uuid.UUID(each)) for each in ids] == ids
    assert len(set(ids)) == 3
    assert {each["properties"]["objectType"] for each in found} == {"cell"}
    for name, outline, numbers in zip(NAMES[::-1], polygons(found), measured(found), strict=True):
        cell = NAMES.index(name)
        assert same(outline, CELLS[cell])
        assert list(numbers) == [f"stflow {gene}{end}" for gene in GENES for end in ("", " sd")]
        for at, gene in enumerate(GENES):
            assert numbers[f"stflow {gene}"] == 4 * cell + at
            assert numbers[f"stflow {gene} sd"] == pytest.approx((4 * cell + at) / 3, rel=1e-5)
    assert [each["id"] for each in written(tmp_path, sdata)] == ids


def test_the_round_trip(tmp_path: Path) -> None:
    sdata = slide()
    sdata["cells"]["classification"] = pd.Categorical(["Tumor: Positive", None, "Stroma"])
    sdata["cells"]["name"] = ["one", None, "three"]
    nuclei = [shapely.Point(50, 60).buffer(3), shapely.box(380, 280, 390, 290)]
    sdata["nuclei"] = ShapesModel.parse(gpd.GeoDataFrame(geometry=nuclei, index=NAMES[:2]))
    found = written(tmp_path, sdata)
    assert ["nucleusGeometry" in each for each in found] == [False, False, True]  # one is outside
    back = stf.io.read_qupath(tmp_path / "x.geojson", SpatialData(images={"he": sdata["he"]}))
    cells = back["cells"]
    assert list(cells.index) == [each["id"] for each in found]
    assert cells["name"].tolist() == ["three", NAMES[1], "one"]
    assert cells["classification"].tolist()[::2] == ["Stroma", "Tumor: Positive"]
    assert cells["classification"].isna().tolist() == [False, True, False]
    for outline, cell in zip(cells.geometry, CELLS[::-1], strict=True):
        assert same(outline, cell)
    assert list(back["nuclei"].index) == [found[2]["id"]]
    assert same(back["nuclei"].geometry.iloc[0], nuclei[0])
    place(sdata, "nuclei", Identity(), "another slide")
    remove_transformation(sdata["nuclei"], "global")
    elsewhere = stf.io.write_qupath(sdata, tmp_path / "z.geojson", show_progress_bar=False)
    assert not any("nucleusGeometry" in each for each in features(elsewhere))
    again = stf.io.write_qupath(back, tmp_path / "y.geojson", shapes_key="cells")
    for one, other in zip(found, features(again), strict=True):
        del one["properties"]["measurements"]  # which were left out
        assert one == other


@st.composite
def outlines(draw: st.DrawFn) -> shapely.Geometry:
    """A star around a place, perhaps with holes, perhaps of two pieces."""
    pieces = []
    for column in range(draw(st.integers(1, 2))):
        radii = draw(st.lists(st.floats(30, 60), min_size=3, max_size=12))
        turns = np.arange(len(radii)) / len(radii) * 2 * np.pi
        star = np.array(radii)[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        centre = np.array([100 + 150 * column, draw(st.floats(70, 200))])
        hole = draw(st.floats(0.1, 0.2))
        holes = [centre + hole * star] if draw(st.booleans()) else []
        pieces.append(shapely.Polygon(centre + star, holes))
    return pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)


@settings(max_examples=15)
@given(st.lists(outlines(), min_size=1, max_size=4))
def test_any_outlines_come_back(tmp_path_factory, drawn: list[shapely.Geometry]) -> None:
    path = tmp_path_factory.mktemp("drawn") / "x.geojson"
    names = [f"c{row}" for row in range(len(drawn))]
    stf.io.write_qupath(slide(drawn, names), path, show_progress_bar=False)
    back = stf.io.read_qupath(path)["cells"]
    assert back["name"].tolist() == names[::-1]
    for outline, expected in zip(back.geometry, drawn[::-1], strict=True):
        assert same(outline, expected)


def affine(matrix: np.ndarray) -> Affine:
    return Affine(matrix, ("x", "y"), ("x", "y"))


def place(sdata: SpatialData, name: str, how, where: str = "global") -> None:
    set_transformation(sdata[name], how, to_coordinate_system=where)


def test_other_scales_and_transformations(tmp_path: Path) -> None:
    """Cells in micrometres, on an image that is scaled and turned: the pixels are known."""
    sdata = slide()
    turned = np.array([[0.0, -2, 40], [2, 0, 7], [0, 0, 1]])  # pixels to the room
    to_pixels = np.array([[4.0, 0, 3], [0, 4, 1], [0, 0, 1]])  # micrometres to pixels
    place(sdata, "he", affine(turned))
    place(sdata, "cells", affine(turned @ to_pixels))
    um = [shapely.affinity.affine_transform(each, [0.25, 0, 0, 0.25, 0, 0]) for each in CELLS]
    sdata["cells"].geometry = um
    for outline, cell in zip(polygons(written(tmp_path, sdata)), CELLS[::-1], strict=True):
        assert same(outline, shapely.affinity.translate(cell, 3, 1))
    place(sdata, "cells", affine(to_pixels))
    with pytest.raises(ValueError, match=r"3 of 3 shapes 'cells' lie outside image 'he'"):
        written(tmp_path, sdata)


def test_several_coordinate_systems(tmp_path: Path) -> None:
    sdata = slide()
    for name in ("he", "cells"):
        place(sdata, name, Identity(), "room")
    place(sdata, "cells", Scale([0.5, 0.25], ("x", "y")), "room")
    (first,) = polygons(written(tmp_path, sdata))[2:]
    (other,) = polygons(written(tmp_path, sdata, coordinate_system="room"))[2:]
    assert first.centroid.coords[0] == pytest.approx((50, 60), abs=0.01)
    assert other.centroid.coords[0] == pytest.approx((25, 15), abs=0.01)
    with pytest.raises(KeyError, match=r"coordinate system of 'cells' 'attic'.*'global', 'room'"):
        written(tmp_path, sdata, coordinate_system="attic")


def test_a_slide_of_which_the_image_is_a_preview(tmp_path: Path) -> None:
    """The image has 0.5 um per pixel, QuPath's slide 0.25: all is twice as far."""
    sdata = slide()
    (there,) = polygons(written(tmp_path, sdata, mpp=0.25))[2:]
    assert there.centroid.coords[0] == pytest.approx((100, 120), abs=0.01)
    assert there.area == pytest.approx(4 * CELLS[0].area, rel=1e-3)
    with pytest.raises(ValueError, match="`mpp` must be a positive number"):
        written(tmp_path, sdata, mpp=0.0)
    del sdata.attrs["slide_properties"]
    with pytest.raises(ValueError, match="image_mpp"):
        written(tmp_path, sdata, mpp=0.25)


def test_circles_are_ellipses(tmp_path: Path) -> None:
    centres = [shapely.Point(100, 60), shapely.Point(200, 90)]
    sdata = slide(CELLS[:2], ["one", "two"])
    circles = gpd.GeoDataFrame({"radius": [20.0, 10.0]}, geometry=centres, index=["one", "two"])
    sdata["cells"] = ShapesModel.parse(circles)
    place(sdata, "cells", Scale([1.5, 0.5], ("x", "y")))
    found = written(tmp_path, sdata)
    assert found[1]["geometry"]["isEllipse"] is True
    assert polygons(found)[1].bounds == (120, 20, 180, 40)
    skewed = np.array([[1.0, 0.4, 0], [0, 1, 0], [0, 0, 1]])
    place(sdata, "cells", affine(skewed))
    found = written(tmp_path, sdata)
    assert "isEllipse" not in found[1]["geometry"]
    assert polygons(found)[1].centroid.coords[0] == pytest.approx((124, 60), abs=0.02)


def test_what_else_is_measured(tmp_path: Path) -> None:
    sdata = slide()
    table = sdata["table"]
    table.obs["stflow_novelty"] = [0.5, np.nan, np.inf]
    table.obs["stflow_observed"] = [True, False, False]
    table.obs["area"] = pd.array([1234567.0, None, 3], dtype="Float64")
    table.obs["cluster"] = pd.Categorical(["1", None, "0"])
    for name, factor in (("stflow_scores", 1.0), ("stflow_scores_sd", 0.1)):
        values = factor * np.arange(3.0)[:, None]
        table.obsm[name] = pd.DataFrame(values, index=table.obs_names, columns=["HER2"])
    table.uns["stflow_scores"] = {"prediction": "stflow", "genes": ["HER2"]}
    found = written(tmp_path, sdata, genes="ERBB2", columns=["area"], classification="cluster")
    first, second, third = measured(found)
    assert first == {
        "stflow ERBB2": 8,
        "stflow ERBB2 sd": 2.66667,
        "stflow_scores HER2": 0,
        "stflow_scores HER2 sd": 0,
        "stflow_novelty": 0.5,
        "stflow_observed": 1,
        "area": 1.23457e6,
    }
    assert not {"stflow_novelty", "area"} & set(second)  # JSON has no NaN
    assert "stflow_novelty" not in third
    assert third["stflow_scores HER2 sd"] == 0.2
    classes = [each["properties"].get("classification") for each in found]
    assert classes[1] is None
    assert [each["name"] for each in classes[::2]] == ["1", "0"]
    assert classes[0]["color"] != classes[2]["color"]
    (alone, *_) = measured(written(tmp_path, sdata, "stflow_scores"))
    assert list(alone) == ["stflow_scores HER2", "stflow_scores HER2 sd"]


def test_real_spots_with_their_totals(tmp_path: Path, data_dir: Path) -> None:
    sdata = stf.datasets.her2st("C5")
    table = sdata["table"]
    table.obsm["stflow"] = table.to_df()[["ERBB2", "FASN"]]
    found = written(tmp_path, sdata, genes=["FASN"])
    assert [each["properties"]["name"] for each in found] == list(table.obs["spot_id"])
    assert {each["properties"]["objectType"] for each in found} == {"detection"}
    numbers = measured(found)
    assert [each["stflow FASN"] for each in numbers] == list(table.obsm["stflow"]["FASN"])
    totals = np.ravel(table.X.sum(axis=1))
    assert [each["total_counts"] for each in numbers] == totals.tolist()
    spots = sdata["spots"].loc[table.obs["spot_id"]]
    for outline, centre, radius in zip(
        polygons(found), spots.geometry, spots["radius"], strict=True
    ):
        assert outline.centroid.distance(centre) < 0.01
        assert outline.bounds[2] - outline.bounds[0] == pytest.approx(2 * radius, abs=0.011)
    back = stf.io.read_qupath(tmp_path / "x.geojson", sdata)
    assert len(back["detections"]) == table.n_obs


def test_cells_that_became_spots(tmp_path: Path) -> None:
    sdata = stf.datasets.synthetic_cells(1, n_spots=9, n_genes=3)["S1"]
    table = sdata["cells_table"]
    table.layers["stflow"] = table.layers["expected"]
    found = written(tmp_path, sdata, table_key="cells_table", classification="domain")
    assert {each["properties"]["objectType"] for each in found} == {"cell"}
    assert len(found) == len(sdata["cells"]) == table.n_obs
    kinds = [each["properties"]["classification"]["name"] for each in found]
    assert kinds == list(table.obs["domain"].astype(str))
    cells = sdata["cells"].loc[table.obs["spot_id"]].geometry
    assert np.allclose([each.area for each in polygons(found)], cells.area, rtol=0.02)
    numbers = measured(found)
    assert list(numbers[0]) == [*(f"stflow {gene}" for gene in table.var_names), "total_counts"]
    assert numbers[5]["stflow GENE002"] == pytest.approx(table.layers["expected"][5, 1], rel=1e-5)


def test_tissue_is_an_annotation(tmp_path: Path) -> None:
    sdata = slide()
    sdata["tissue"] = ShapesModel.parse(
        gpd.GeoDataFrame({"kind": ["pen", "fold"]}, geometry=[RING, shapely.MultiPolygon()])
    )
    with pytest.warns(UserWarning, match=r"1 of 2 shapes 'tissue' have no area .* left out: '1'"):
        found = written(tmp_path, sdata, shapes_key="tissue", classification="kind")
    (only,) = found
    assert only["properties"]["objectType"] == "annotation"
    assert only["properties"]["name"] == "0"
    assert only["properties"]["classification"]["name"] == "pen"
    assert "measurements" not in only["properties"]
    with pytest.raises(ValueError, match=r"'table' says nothing of shapes 'tissue'.*`genes=`"):
        written(tmp_path, sdata, shapes_key="tissue", genes=["ERBB2"])
    del sdata.tables["table"]
    with pytest.warns(UserWarning, match="no area"):
        assert len(written(tmp_path, sdata, shapes_key="tissue")) == 1


def test_ids_and_kinds_of_qupath_are_kept(tmp_path: Path) -> None:
    known = str(uuid.uuid4())
    sdata = slide([RING, TWO], [known, "x"])
    for key, kind in (("annotations", "annotation"), ("tiles", "tile"), ("cores", "tmaCore")):
        sdata[key] = sdata["cells"].copy()
        found = written(tmp_path, sdata, shapes_key=key)
        assert {each["properties"]["objectType"] for each in found} == {kind}
        assert found[0]["id"] == known
        assert "name" not in found[0]["properties"]
        assert key in stf.io.read_qupath(tmp_path / "x.geojson").shapes


def test_one_of_several_regions(tmp_path: Path) -> None:
    sdata = slide()
    sdata["more"], sdata["other"] = sdata["cells"].copy(), sdata["he"].copy()
    table = ad.concat([sdata["table"], sdata["table"]], index_unique="-", keys=["a", "b"])
    table.obs["region"] = pd.Categorical(["cells", "more"] * 3)
    table.obsm["stflow"]["ERBB2"] = np.arange(6.0)
    del sdata.tables["table"]
    sdata["table"] = TableModel.parse(
        table, region=["cells", "more"], region_key="region", instance_key="cell"
    )
    with pytest.raises(KeyError, match=r"Pass `shapes_key=`, one of .*'cells', 'more'"):
        written(tmp_path, sdata)
    with pytest.raises(KeyError, match=r"Pass `image_key=`, one of the images: 'he', 'other'"):
        written(tmp_path, sdata, shapes_key="more")
    found = written(tmp_path, sdata, shapes_key="more", image_key="he")
    assert [each["stflow ERBB2"] for each in measured(found)] == [1, 3, 5]


def test_pieces_are_the_whole_and_a_large_file_is_told(tmp_path: Path, monkeypatch) -> None:
    whole = written(tmp_path, slide())
    monkeypatch.setattr(module, "AT_ONCE", 2)
    assert written(tmp_path, slide()) == whole
    monkeypatch.setattr(module, "LARGE", 1000)
    with pytest.warns(UserWarning, match=r"will hold .* GiB of text.*`genes=`"):
        written(tmp_path, slide())


def test_an_archive(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("cells.zip", "other.zip")]
    for path in paths:
        assert stf.io.write_qupath(slide(), str(path), show_progress_bar=False) == path
    with zipfile.ZipFile(paths[0]) as archive:
        assert archive.namelist() == ["cells.geojson"]
    stf.io.write_qupath(slide(), paths[0], overwrite=True, show_progress_bar=False)
    assert len(stf.io.read_qupath(paths[0])["cells"]) == 3
    with zipfile.ZipFile(paths[1], "a") as archive:
        archive.writestr("more.json", "{}")
    with pytest.raises(
        ValueError, match=r"holds 'other\.geojson', 'more\.json', not a single file"
    ):
        stf.io.read_qupath(paths[1])


def test_where_it_cannot_go(tmp_path: Path, monkeypatch) -> None:
    for name in ("x.csv", "x.geojson.gz", "x"):
        with pytest.raises(ValueError, match=r"must end in one of '.geojson', '.json', '.zip'"):
            stf.io.write_qupath(slide(), tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*gone to write x\.json to"):
        stf.io.write_qupath(slide(), tmp_path / "gone" / "x.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.json is a folder"):
        stf.io.write_qupath(slide(), tmp_path / "folder.json", overwrite=True)
    path = tmp_path / "x.geojson"
    path.write_text("old")
    with pytest.raises(FileExistsError, match=r"x\.geojson exists. Pass `overwrite=True`"):
        stf.io.write_qupath(slide(), path)
    monkeypatch.setattr(module.Features, "texts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stf.io.write_qupath(slide(), path, overwrite=True, show_progress_bar=False)
    assert path.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.json", "x.geojson"]


def without_prediction(sdata: SpatialData) -> None:
    del sdata["table"].obsm["stflow"]


def without_table(sdata: SpatialData) -> None:
    del sdata.tables["table"]


def without_image(sdata: SpatialData) -> None:
    del sdata.images["he"]


def without_shapes(sdata: SpatialData) -> None:
    del sdata.shapes["cells"]


def without_a_cell(sdata: SpatialData) -> None:
    sdata["cells"] = ShapesModel.parse(sdata["cells"].iloc[1:])


def lines(sdata: SpatialData) -> None:
    sdata["cells"].geometry = [shapely.LineString([(0, 0), (9, 9)])] * 3


def text_column(sdata: SpatialData) -> None:
    sdata["table"].obs["kind"] = ["x", "y", "z"]


def same_names(sdata: SpatialData) -> None:
    sdata["table"].obs["stflow ERBB2"] = 1.0


@pytest.mark.parametrize(
    ("spoil", "kwargs", "kind", "message"),
    [
        (without_prediction, {}, KeyError, r"No prediction 'stflow' .*Run `stf.tl.predict` first"),
        (None, {"key": "stflow_scores"}, KeyError, "Run `stf.tl.score_genes` first"),
        (None, {"genes": ["FASN"]}, KeyError, r"1 of 1 genes .*'FASN'; available: 'ERBB2', 'HLA"),
        (None, {"genes": []}, ValueError, "`genes` is empty"),
        (None, {"columns": ["area"]}, KeyError, r"obs in table 'table': 'area'.*'region', 'cell'"),
        (text_column, {"columns": ["kind"]}, ValueError, "'x', 'y', 'z', which are no numbers"),
        (same_names, {"columns": ["stflow ERBB2"]}, ValueError, "names of numbers: 'stflow ERBB2'"),
        (None, {"classification": "kind"}, KeyError, "column for `classification` 'kind'"),
        (without_table, {}, KeyError, "No table 'table'; available: none"),
        (None, {"table_key": "other"}, KeyError, "No table 'other'; available: 'table'"),
        (without_image, {}, KeyError, "Pass `image_key=`, one of the images: none"),
        (None, {"image_key": "ihc"}, KeyError, "No image 'ihc'; available: 'he'"),
        (without_shapes, {}, KeyError, "No shapes or labels element 'cells'; available: none"),
        (None, {"shapes_key": "spots"}, KeyError, "annotated element 'spots'; available: 'cells'"),
        (without_a_cell, {}, KeyError, "1 rows of the table have no spot in shapes 'cells': 'a'"),
        (lines, {}, ValueError, "hold 'LineString'; spots are polygons or circles"),
    ],
)
def test_what_is_refused(tmp_path: Path, spoil, kwargs, kind, message: str) -> None:
    sdata = slide()
    if spoil is not None:
        spoil(sdata)
    with pytest.raises(kind, match=message):
        stf.io.write_qupath(sdata, tmp_path / "x.geojson", **kwargs)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match="Expected SpatialData, not AnnData"):
        stf.io.write_qupath(slide()["table"], tmp_path / "x.geojson")


def test_outlines_that_cross_themselves(tmp_path: Path) -> None:
    bow = shapely.Polygon([(200, 10), (220, 30), (220, 10), (200, 70)])
    line = shapely.Polygon([(0, 0), (5, 5), (9, 9)])
    sdata = slide([bow, line, RING], NAMES)
    with (
        pytest.warns(
            UserWarning, match="1 of 3 shapes 'cells' cross themselves and are mended: 'a'"
        ),
        pytest.warns(UserWarning, match="1 of 3 shapes 'cells' have no area and are left out: 'b"),
    ):
        found = written(tmp_path, sdata)
    assert [each["properties"]["name"] for each in found] == [NAMES[2], NAMES[0]]
    assert polygons(found)[1].area == pytest.approx(500, rel=1e-3)
    assert [each["stflow ERBB2"] for each in measured(found)] == [8, 0]
    with pytest.raises(ValueError, match=r"1 of 1 shapes 'cells' have no area.*nothing to draw"):
        written(tmp_path, slide([line], ["a"]))
