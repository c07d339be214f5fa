"""A Xenium folder of known geometry: cells as spots, placed on the H&E by its alignment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import outputs
import pandas as pd
import pytest
from spatialdata import get_extent, transform

import stflow as stf

pytest.importorskip("spatialdata_io")
PIXEL_UM = 0.2125
TURN = np.array([[0, -2, 300], [2, 0, 10], [0, 0, 1.0]])


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """Folder with cells in 60 x 60 um and an H&E that lies on them pixel by pixel."""
    root = tmp_path / "output"
    cells, counts = outputs.xenium(root)
    outputs.write_image(root / "S1_he_image.ome.tif", 290, 300)
    return root, cells, counts


def aligned(root: Path, matrix: np.ndarray, name: str = "S1_he_imagealignment.csv") -> Path:
    pd.DataFrame(matrix).to_csv(root / name, header=False, index=False)
    return root / name


def test_cells_are_spots(slide) -> None:
    root, cells, counts = slide
    sdata = stf.io.read_xenium(root)
    assert (list(sdata.images), list(sdata.shapes), list(sdata.tables)) == (
        ["he"],
        ["spots"],
        ["table"],
    )
    table, spots = sdata["table"], sdata["spots"]
    assert list(table.obs_names) == list(cells.index) == list(spots.index)
    xy = cells[["x_centroid", "y_centroid"]].to_numpy()
    np.testing.assert_allclose(table.obsm["spatial"] * PIXEL_UM, xy)
    np.testing.assert_allclose(np.pi * (spots["radius"] * PIXEL_UM) ** 2, cells["cell_area"])
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])
    assert list(table.var_names) == ["ERBB2", "FASN", "CD74", "FASN-1"]
    found = sdata.attrs["slide_properties"]
    assert found["mpp"] == pytest.approx(PIXEL_UM)
    assert (found["technology"], found["mpp_source"]) == ("xenium", "alignment")


def test_alignment_places_the_cells_on_a_turned_image(slide) -> None:
    root, cells, _ = slide
    aligned(root, TURN)
    sdata = stf.io.read_xenium(root)
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(2 * PIXEL_UM)
    found = sdata["table"].obsm["spatial"]
    back = np.column_stack([300 - 2 * found[:, 1], 10 + 2 * found[:, 0]]) * PIXEL_UM
    np.testing.assert_allclose(back, cells[["x_centroid", "y_centroid"]])


def test_micrometres_of_the_instrument_are_a_second_system(slide) -> None:
    root, cells, _ = slide
    aligned(root, TURN)
    sdata = stf.io.read_xenium(root)
    placed = transform(sdata["spots"], to_coordinate_system="xenium").geometry
    np.testing.assert_allclose(placed.x, cells["x_centroid"])
    np.testing.assert_allclose(placed.y, cells["y_centroid"])
    extent = get_extent(sdata["he"], coordinate_system="xenium")
    assert extent["x"] == pytest.approx((-300 * PIXEL_UM, 300 * PIXEL_UM))
    assert extent["y"] == pytest.approx((10 * PIXEL_UM, 590 * PIXEL_UM))


def test_alignment_and_image_that_were_named(slide, tmp_path: Path) -> None:
    aligned(slide[0], TURN)
    outputs.write_image(tmp_path / "he.tif", 290, 300)
    plain = aligned(tmp_path, np.diag([2.0, 2.0, 1.0]), "mine.csv")
    sdata = stf.io.read_xenium(slide[0], image=tmp_path / "he.tif", alignment=plain)
    xy = slide[1][["x_centroid", "y_centroid"]].to_numpy()
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], xy / PIXEL_UM / 2)


def test_the_slide_goes_on_through_the_pipeline(slide, colour_encoder) -> None:
    sdata = stf.io.read_xenium(slide[0])
    stf.pp.embed(
        sdata, encoder=colour_encoder, mpp=PIXEL_UM, tile_px=8, device="cpu",
        show_progress_bar=False,
    )  # fmt: skip
    stf.pp.neighbors(sdata, n_neighs=3)
    red = sdata["table"].obsm["X_embedding"][:, 0]
    np.testing.assert_allclose(red * 290, sdata["table"].obsm["spatial"][:, 0], atol=2)


def test_the_images_own_scale_contradicts_the_alignment(slide, tmp_path: Path) -> None:
    per_cm = 1e4 / 0.5
    outputs.write_image(
        tmp_path / "he.tif", 290, 300, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER"
    )
    with pytest.raises(ValueError, match=r"he\.tif says 0\.5 um per pixel, .*alignment.* 0\.2125"):
        stf.io.read_xenium(slide[0], image=tmp_path / "he.tif")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), "is no affine matrix"),
        (np.ones((3, 3)), "is no affine matrix"),
        (np.diag([1, 0, 1]), "cannot be inverted"),
        (np.array([[1, 0, np.inf], [0, 1, 0], [0, 0, 1]]), "cannot be inverted"),
        (np.array([["fixedX", "fixedY"], ["1", "2"]]), "cannot be read"),
    ],
)
def test_an_alignment_that_aligns_nothing(slide, matrix: np.ndarray, message: str) -> None:
    aligned(slide[0], matrix)
    with pytest.raises(ValueError, match=rf"imagealignment\.csv.* {message}"):
        stf.io.read_xenium(slide[0])


def test_missing_files(slide, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no alignment file"):
        stf.io.read_xenium(slide[0], alignment=tmp_path / "gone.csv")
    (slide[0] / "cells.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"not the whole output.*'cells\.parquet'"):
        stf.io.read_xenium(slide[0])


@pytest.mark.parametrize("text", ["{", json.dumps({"run": 1}), json.dumps({"pixel_size": None})])
def test_a_folder_that_does_not_say_its_pixel_size(slide, text: str) -> None:
    (slide[0] / "experiment.xenium").write_text(text)
    with pytest.raises(ValueError, match=r"experiment\.xenium holds no `pixel_size`"):
        stf.io.read_xenium(slide[0])
