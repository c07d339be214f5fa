"""Cells that Space Ranger 4 segmented: outlines as spots, nuclei beside; what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import outputs
import pytest
import shapely

import stflow as stf

PARTS = "cell_segmentations.geojson"


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray], np.ndarray]:
    """Folder with bins of 8 um and 36 cells, and the image."""
    root = tmp_path / "outs"
    outputs.visium_hd(root)
    shutil.rmtree(root / "segmented_outputs")
    cells, counts = outputs.segmented(root)
    outputs.write_image(root / "tissue_image.tif", 200, 190)
    return root, cells, counts


def test_cells_are_spots_with_outlines_and_nuclei(slide) -> None:
    root, cells, counts = slide
    sdata = stf.io.read_visium_hd(root, cells=True)
    table, spots, nuclei = sdata["table"], sdata["spots"], sdata["nuclei"]
    assert set(sdata.shapes) == {"spots", "nuclei"}
    assert list(table.obs_names) == list(spots.index) == list(cells)
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])
    for outline, corners in zip(spots.geometry, cells.values(), strict=True):
        assert outline.equals(shapely.Polygon(corners))
    centroids = [shapely.Polygon(corners).centroid.coords[0] for corners in cells.values()]
    np.testing.assert_allclose(table.obsm["spatial"], centroids)
    area = 0.64 * 16**2 * 0.5**2  # an L leaves 0.36 of its square empty
    np.testing.assert_allclose(table.obs["cell_area"], area)
    assert len(nuclei) == 18
    assert set(nuclei.index) <= set(cells)
    inside = spots.geometry.loc[nuclei.index].intersects(nuclei.geometry)
    assert inside.all()
    assert table.obs["nucleus_area"].notna().sum() == 18
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (0.5, "Space Ranger")
    assert found["technology"] == "visium_hd"
    assert "pitch_um" not in found


def test_the_folder_of_cells_itself_without_nuclei(slide) -> None:
    inner = slide[0] / "segmented_outputs"
    (inner / "nucleus_segmentations.geojson").unlink()
    sdata = stf.io.read_visium_hd(inner, cells=True, image=slide[0] / "tissue_image.tif")
    assert list(sdata.shapes) == ["spots"]
    assert "nucleus_area" not in sdata["table"].obs
    outputs.write_mex(inner / "filtered_feature_cell_matrix", list(slide[1]), slide[2])
    (inner / "filtered_feature_cell_matrix.h5").unlink()
    text = stf.io.read_visium_hd(inner, cells=True, image=slide[0] / "tissue_image.tif")
    np.testing.assert_array_equal(text["table"].X.toarray(), sdata["table"].X.toarray())


def test_cells_on_the_preview(slide) -> None:
    preview = slide[0] / "segmented_outputs" / "spatial" / "tissue_hires_image.png"
    outputs.write_image(preview, 40, 38)
    with pytest.warns(UserWarning, match=r"preview of 2\.5 um per pixel: a spot is 2\.9 pixels"):
        sdata = stf.io.read_visium_hd(slide[0], cells=True, image="hires")
    whole = stf.io.read_visium_hd(slide[0], cells=True)
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], whole["table"].obsm["spatial"] / 5)
    for key in ("cell_area", "nucleus_area"):
        np.testing.assert_allclose(sdata["table"].obs[key], whole["table"].obs[key])
    assert sdata["nuclei"].total_bounds == pytest.approx(whole["nuclei"].total_bounds / 5)


def test_the_scale_is_told_or_given(slide) -> None:
    with pytest.warns(UserWarning, match=r"`image_mpp=` says 0\.25 .*'microns_per_pixel' .* 0\.5"):
        sdata = stf.io.read_visium_hd(slide[0], cells=True, image_mpp=0.25)
    assert sdata.attrs["slide_properties"]["mpp"] == 0.25
    for folder in (slide[0] / "segmented_outputs", slide[0]):
        (folder / "spatial" / "scalefactors_json.json").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError, match=r"no 'scalefactors_json\.json'"):
        stf.io.read_visium_hd(slide[0], cells=True)
    assert stf.io.read_visium_hd(slide[0], cells=True, image_mpp=0.5)["table"].n_obs == 36


def test_cells_that_have_no_place_of_their_own(slide, tmp_path: Path) -> None:
    root = tmp_path / "other"
    cells, _ = outputs.segmented(root, lost=[3])
    outputs.write_image(root / "tissue_image.tif", 200, 190)
    path = root / "segmented_outputs" / PARTS
    held = json.loads(path.read_text())
    by_id = {each["properties"]["cell_id"]: each["geometry"] for each in held["features"]}
    by_id[1]["coordinates"] = [[[0, 0], [5, 5], [9, 9], [0, 0]]]
    by_id[6]["coordinates"] = by_id[5]["coordinates"]
    by_id[8]["coordinates"] = [[[200, 10], [220, 30], [220, 10], [200, 70], [200, 10]]]
    path.write_text(json.dumps(held))
    names = list(cells)
    left_out = f"3 of 36 cells .*no outline: '{names[3]}'; no area: '{names[0]}'; the centroid of "
    with (
        pytest.warns(UserWarning, match=f"{left_out}another one: '{names[5]}'"),
        pytest.warns(UserWarning, match=f"1 of 36 cells .* cross themselves .*: '{names[7]}'"),
    ):
        sdata = stf.io.read_visium_hd(root, cells=True)
    kept = [name for i, name in enumerate(names) if i not in (0, 3, 5)]
    assert list(sdata["table"].obs_names) == list(sdata["spots"].index) == kept
    assert sdata["spots"].area.loc[names[7]] == pytest.approx(500)
    centres = np.array([[p.x, p.y] for p in sdata["spots"].geometry.centroid])
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], centres)


def test_files_without_a_single_outline(slide) -> None:
    nothing = json.dumps({"type": "FeatureCollection", "features": []})
    (slide[0] / "segmented_outputs" / "nucleus_segmentations.geojson").write_text(nothing)
    assert list(stf.io.read_visium_hd(slide[0], cells=True).shapes) == ["spots"]
    (slide[0] / "segmented_outputs" / PARTS).write_text(nothing)
    with pytest.raises(ValueError, match=r"36 of 36 cells cannot be placed .*no outline"):
        stf.io.read_visium_hd(slide[0], cells=True)


def test_outlines_of_other_cells(slide) -> None:
    path = slide[0] / "segmented_outputs" / PARTS
    held = json.loads(path.read_text())
    for each in held["features"]:
        each["properties"]["cell_id"] += 1000
    path.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"36 of 36 cells cannot be placed.*like 'cellid_00000103"):
        stf.io.read_visium_hd(slide[0], cells=True)
    del held["features"][0]["properties"]["cell_id"]
    path.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"cannot be read as segmented cells.*'cell_id'"):
        stf.io.read_visium_hd(slide[0], cells=True)


def test_what_is_not_there_and_what_makes_no_sense(slide) -> None:
    with pytest.raises(ValueError, match=r"`bin_um=16` is of bins; .* or `cells=True`"):
        stf.io.read_visium_hd(slide[0], cells=True, bin_um=16)
    outputs.write_image(slide[0] / "tissue_image.tif", 60, 60)
    with pytest.raises(ValueError, match=r"of the spots lie outside image"):
        stf.io.read_visium_hd(slide[0], cells=True)
    (slide[0] / "segmented_outputs" / PARTS).unlink()
    (slide[0] / "segmented_outputs" / f"graphclust_annotated_{PARTS}").unlink()
    with pytest.raises(FileNotFoundError, match=r"with segmented cells: no 'cell_segmentations"):
        stf.io.read_visium_hd(slide[0], cells=True)


def test_cells_go_on_through_the_pipeline(slide, colour_encoder) -> None:
    sdata = stf.io.read_visium_hd(slide[0], cells=True)
    stf.pp.embed(
        sdata, encoder=colour_encoder, mpp=0.5, tile_px=8, device="cpu", show_progress_bar=False
    )
    stf.pp.neighbors(sdata, n_neighs=3)
    red = sdata["table"].obsm["X_embedding"][:, 0]
    np.testing.assert_allclose(red * 200, sdata["table"].obsm["spatial"][:, 0], atol=2)
