"""GeoJSON as QuPath writes it: what becomes which shapes, in which pixels; every refusal."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import shapely
from spatialdata import SpatialData, read_zarr
from spatialdata.models import Image2DModel
from spatialdata.transformations import Identity, Scale, get_transformation
from support import colours

import stflow as stf

CELL, NUCLEUS = shapely.Point(50, 60).buffer(8), shapely.Point(52, 60).buffer(3)
RING = shapely.box(100, 100, 160, 160).difference(shapely.box(120, 120, 130, 150))
BOW = shapely.Polygon([(200, 10), (220, 30), (220, 10), (200, 70)])


def feature(shape: shapely.Geometry | None, kind: str | None = "cell", **about) -> dict:
    """A feature as QuPath has it; ``id`` and ``nucleusGeometry`` stand beside its properties."""
    beside = {key: about.pop(key) for key in ("id", "nucleusGeometry") if key in about}
    if kind is not None:
        about["objectType"] = kind
    held = None if shape is None else shapely.geometry.mapping(shape)
    return {"type": "Feature", **beside, "geometry": held, "properties": about}


def named(name: str) -> dict:
    return {"name": name, "color": [200, 0, 0]}


def write(path: Path, *features: dict, collection: bool = True) -> Path:
    held = {"type": "FeatureCollection", "features": features} if collection else features
    text = json.dumps(held).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def cells(n: int = 2) -> list[dict]:
    """Cells 30 pixels apart, each with a nucleus."""
    found = []
    for i in range(n):
        cell, nucleus = (
            shapely.transform(each, lambda xy, i=i: xy + np.array([30 * (i % 8), 30 * (i // 8)]))
            for each in (CELL, NUCLEUS)
        )
        about = {"classification": named("Tumor: Positive")} if i % 2 else {}
        inner = shapely.geometry.mapping(nucleus)
        found.append(feature(cell, id=f"uuid-{i}", nucleusGeometry=inner, **about))
    return found


def slide(side: int = 400, **kwargs) -> SpatialData:
    image = Image2DModel.parse(
        da.zeros((3, side, side), dtype=np.uint8), dims="cyx", c_coords=list("rgb"), **kwargs
    )
    return SpatialData(images={"he": image}, attrs={"slide_properties": {"mpp": 0.5}})


def test_cells_with_their_nuclei(tmp_path: Path) -> None:
    sdata = slide(transformations={"global": Identity(), "room": Scale([3, 3], ("x", "y"))})
    found = stf.io.read_qupath(write(tmp_path / "cells.geojson", *cells()), sdata)
    assert found is sdata
    assert set(sdata.shapes) == {"cells", "nuclei"}
    outlines, nuclei = sdata["cells"], sdata["nuclei"]
    assert list(outlines.index) == list(nuclei.index) == ["uuid-0", "uuid-1"]
    assert outlines.geometry.iloc[0].equals(CELL)
    assert nuclei.geometry.iloc[0].equals(NUCLEUS)
    assert outlines["classification"].isna().tolist() == [True, False]
    assert outlines["classification"].iloc[1] == "Tumor: Positive"
    assert "name" not in outlines
    assert get_transformation(outlines, get_all=True).keys() == {"global", "room"}


def test_a_file_of_several_kinds(tmp_path: Path) -> None:
    parts = {"classification": {"names": ["Tumor", "CD8"]}}
    path = write(
        tmp_path / "all.geojson.gz",
        feature(RING, "annotation", name="Invasive front", classification=named("Tumor")),
        feature(shapely.box(0, 0, 9, 9), "annotation"),
        feature(shapely.MultiPolygon([CELL, BOW.buffer(0)]), "detection", **parts),
        feature(shapely.box(0, 0, 50, 50), "tile"),
        feature(shapely.box(0, 0, 60, 60), "tma_core"),
        collection=False,
    )
    sdata = stf.io.read_qupath(path)
    assert not sdata.images
    assert set(sdata.shapes) == {"annotations", "detections", "tiles", "cores"}
    drawn = sdata["annotations"]
    assert list(drawn.index) == ["0", "1"]
    assert drawn["name"].iloc[0] == "Invasive front"
    assert drawn["name"].isna().tolist() == [False, True]
    assert drawn.geometry.iloc[0].equals(RING)  # with its hole
    assert sdata["detections"]["classification"].tolist() == ["Tumor: CD8"]
    assert sdata["detections"].geom_type.tolist() == ["MultiPolygon"]
    assert list(sdata["tiles"].index) == ["3"]


def test_older_files_and_those_of_other_programs(tmp_path: Path) -> None:
    inner = shapely.geometry.mapping(NUCLEUS)
    path = write(
        tmp_path / "old.json",
        feature(CELL, None, id="PathCellObject", nucleusGeometry=inner),
        feature(shapely.box(9, 9, 20, 20), None, id="PathCellObject"),
        feature(RING, None, id="PathAnnotationObject"),
    )
    found = stf.io.read_qupath(path, prefix="old_")
    assert set(found.shapes) == {"old_cells", "old_annotations", "old_nuclei"}
    assert list(found["old_cells"].index) == ["0", "1"]
    assert list(found["old_nuclei"].index) == ["0"]
    found.write(tmp_path / "old.zarr")
    assert read_zarr(tmp_path / "old.zarr")["old_cells"]["classification"].isna().all()
    single = tmp_path / "one.geojson"
    single.write_text(json.dumps(feature(RING, None)))
    assert list(stf.io.read_qupath(single).shapes) == ["annotations"]
    inside = feature(CELL, None, classification="Tumor")
    inside["properties"]["nucleusGeometry"] = inner
    found = stf.io.read_qupath(write(tmp_path / "inside.geojson", inside))
    assert set(found.shapes) == {"cells", "nuclei"}
    assert found["cells"]["classification"].tolist() == ["Tumor"]


def test_points_and_lines_are_left_out(tmp_path: Path) -> None:
    points = [feature(shapely.Point(3, 3), "annotation"), feature(None, "annotation")]
    line = feature(shapely.LineString([(0, 0), (3, 3)]), "annotation")
    path = write(tmp_path / "cells.geojson", *points, line, *cells())
    with pytest.warns(UserWarning, match=r"3 of 5 .*'Point: 1', 'None: 1', 'LineString: 1'"):
        sdata = stf.io.read_qupath(path)
    assert set(sdata.shapes) == {"cells", "nuclei"}
    path = write(tmp_path / "points.geojson", *points)
    with pytest.raises(ValueError, match=r"no polygons: its features are 'Point: 1', 'None: 1'"):
        stf.io.read_qupath(path)
    with pytest.raises(ValueError, match=r"empty\.geojson holds no polygons: it is empty.*Export"):
        stf.io.read_qupath(write(tmp_path / "empty.geojson"))


def test_what_crosses_itself_and_what_has_no_area(tmp_path: Path) -> None:
    assert not BOW.is_valid
    path = write(tmp_path / "bow.geojson", feature(CELL), feature(BOW))
    with pytest.warns(UserWarning, match=r"1 of 2 cells in .* cross themselves .* mended: '1'"):
        sdata = stf.io.read_qupath(path)
    assert sdata["cells"].area.iloc[1] == pytest.approx(500)
    line = shapely.Polygon([(0, 0), (5, 5), (9, 9)])
    path = write(
        tmp_path / "flat.geojson", feature(line), feature(CELL), feature(shapely.Polygon())
    )
    with pytest.warns(UserWarning, match="2 of 3 cells in .* no area, left out: '0', '2'"):
        sdata = stf.io.read_qupath(path)
    assert list(sdata["cells"].index) == ["1"]
    with pytest.raises(ValueError, match=r"All 1 cells in .*flat\.geojson have no area"):
        stf.io.read_qupath(write(tmp_path / "flat.geojson", feature(line)))


@pytest.mark.parametrize(
    "text", ["", "no json", "3", '{"a": 1}', '{"type": "FeatureCollection"}', '[{"type": "a"}]']
)
def test_what_is_no_geojson(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(ValueError, match=r"a\.geojson cannot be read as GeoJSON"):
        stf.io.read_qupath(tmp_path / "a.geojson")


def test_a_polygon_that_is_damaged(tmp_path: Path) -> None:
    bad = feature(CELL)
    bad["geometry"]["coordinates"] = [[[0, 0], [1, 1]]]
    with pytest.raises(ValueError, match=r"a\.geojson cannot be read as GeoJSON"):
        stf.io.read_qupath(write(tmp_path / "a.geojson", bad))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        stf.io.read_qupath(tmp_path / "gone.geojson")
    with pytest.raises(IsADirectoryError, match="is a folder; pass the GeoJSON"):
        stf.io.read_qupath(tmp_path)


def test_cells_of_another_image(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.geojson", *cells(), feature(shapely.box(900, 0, 950, 50)))
    sdata = slide()
    with pytest.raises(ValueError, match=r"1 of 3 cells in .* outside image 'he', .* 400 x 400"):
        stf.io.read_qupath(path, sdata)
    assert not sdata.shapes
    with pytest.raises(KeyError, match="No image 'other'"):
        stf.io.read_qupath(path, sdata, image_key="other")
    with pytest.raises(TypeError, match="Expected SpatialData"):
        stf.io.read_qupath(path, {})


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    sdata = stf.io.read_qupath(write(tmp_path / "cells.geojson", *cells()), slide())
    held = sdata["nuclei"]
    path = write(tmp_path / "more.geojson", *cells(3), feature(RING, "annotation"))
    with pytest.raises(ValueError, match=r"already holds 'cells'.*`prefix=`, or `overwrite"):
        stf.io.read_qupath(path, sdata)
    assert set(sdata.shapes) == {"cells", "nuclei"}
    assert sdata["nuclei"] is held
    stf.io.read_qupath(path, sdata, overwrite=True)
    assert (len(sdata["cells"]), len(sdata["nuclei"])) == (3, 3)


def test_cells_become_spots_that_are_predicted_and_written(tmp_path: Path, tissue, model) -> None:
    whole = tissue["S1"]
    sdata = SpatialData(images={"he": whole["he"]}, attrs=dict(whole.attrs))
    stf.io.read_qupath(write(tmp_path / "cells.geojson", *cells(40)), sdata)
    stf.pp.grid(sdata, shapes_key="cells")
    assert sdata["table"].obsm["spatial"][9] == pytest.approx([50 + 30, 60 + 30])
    stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False)
    stf.pp.neighbors(sdata, pitch_um=model.pitch_um)
    stf.tl.predict(sdata, model, show_progress_bar=False)
    assert np.isfinite(stf.get.predicted(sdata).X).all()
    sdata.write(tmp_path / "slide.zarr")
    back = read_zarr(tmp_path / "slide.zarr")
    assert back["table"].n_obs == 40
    assert back["spots"].loc["uuid-1", "classification"] == "Tumor: Positive"
    assert back["nuclei"].geometry.iloc[0].equals(NUCLEUS)
