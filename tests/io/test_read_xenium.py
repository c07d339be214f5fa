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

PIXEL_UM = 0.2125
TURN = np.array([[0, -2, 300], [2, 0, 10], [0, 0, 1.0]])


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """Folder with cells in 60 x 60 um and an H&E that nobody has aligned."""
    root = tmp_path / "output"
    cells, counts = outputs.xenium(root)
    outputs.write_image(root / "S1_he_image.ome.tif", 290, 300)
    return root, cells, counts


def aligned(root: Path, matrix: np.ndarray, name: str = "S1_he_imagealignment.csv") -> Path:
    (root / name).parent.mkdir(exist_ok=True)
    pd.DataFrame(matrix).to_csv(root / name, header=False, index=False)
    return root / name


def test_cells_are_spots(slide) -> None:
    root, cells, counts = slide
    sdata = stf.io.read_xenium(root, alignment=np.eye(3))
    assert (list(sdata.images), list(sdata.shapes), list(sdata.tables)) == (
        ["he"],
        ["spots", "nuclei"],
        ["table"],
    )
    table, spots, nuclei = sdata["table"], sdata["spots"], sdata["nuclei"]
    assert list(table.obs_names) == list(cells.index) == list(spots.index)
    xy = cells[["x_centroid", "y_centroid"]].to_numpy()
    np.testing.assert_allclose(table.obsm["spatial"] * PIXEL_UM, xy)
    np.testing.assert_allclose(spots.area * PIXEL_UM**2, cells["cell_area"])
    assert [len(each.exterior.coords) for each in spots.geometry] == [13] * 30
    assert list(nuclei.index) == list(cells.index.delete(3))
    np.testing.assert_allclose(nuclei.area * PIXEL_UM**2, 9.0)
    assert spots.geometry.loc[nuclei.index].contains(nuclei.geometry).all()
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
    for key, held in {"spots": cells, "nuclei": cells.drop(index=cells.index[3])}.items():
        placed = transform(sdata[key], to_coordinate_system="xenium").geometry.centroid
        np.testing.assert_allclose(placed.x, held["x_centroid"])
        np.testing.assert_allclose(placed.y, held["y_centroid"])
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
    sdata = stf.io.read_xenium(slide[0], alignment=np.eye(3))
    stf.pp.embed(
        sdata, encoder=colour_encoder, mpp=PIXEL_UM, tile_px=8, device="cpu",
        show_progress_bar=False,
    )  # fmt: skip
    stf.pp.neighbors(sdata, n_neighs=3)
    red = sdata["table"].obsm["X_embedding"][:, 0]
    np.testing.assert_allclose(red * 290, sdata["table"].obsm["spatial"][:, 0], atol=2)


# where the image lies


@pytest.mark.parametrize(
    "name",
    [
        "S1_he_imagealignment.csv",
        "S1_he_imagealignment.csv.gz",
        "S2_he_imagealignment.csv",
        "S1_he_alignment.csv",
        "S1_he_image_matrix.csv",
        "S1_he_image_alignment_files/matrix.csv",
        "alignment_files/matrix.csv",
        "matrix.csv.gz",
    ],
)
def test_alignment_under_the_names_that_are_published(slide, name: str) -> None:
    aligned(slide[0], TURN, name)
    sdata = stf.io.read_xenium(slide[0])
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(2 * PIXEL_UM)


@pytest.mark.parametrize(
    "name", ["S1_if_imagealignment.csv", "S1_if_image_matrix.csv", "._S1_he_imagealignment.csv"]
)
@pytest.mark.parametrize("image", ["S1_he_image.ome.tif", "S1_he_unaligned_image.ome.tif"])
def test_an_image_that_nobody_aligned_lies_nowhere(slide, name: str, image: str) -> None:
    aligned(slide[0], TURN, name)
    (slide[0] / "S1_he_image.ome.tif").rename(slide[0] / image)
    with pytest.raises(
        ValueError, match=rf"Nothing tells where image .*{image}.*`alignment=np\.eye\(3\)`"
    ):
        stf.io.read_xenium(slide[0])


def test_the_matrix_of_another_image_is_not_taken(slide) -> None:
    root = slide[0]
    aligned(root, TURN)
    outputs.write_image(root / "S1_he_unaligned_image.ome.tif", 290, 300)
    with pytest.raises(ValueError, match=r"Several images .*Pass one as `image=`"):
        stf.io.read_xenium(root)
    with pytest.raises(ValueError, match=r"Nothing tells where image .*unaligned"):
        stf.io.read_xenium(root, image="S1_he_unaligned_image.ome.tif")
    assert stf.io.read_xenium(root, image="S1_he_image.ome.tif")["table"].n_obs == 30
    (root / "S1_he_image.ome.tif").unlink()
    found = stf.io.read_xenium(root).attrs["slide_properties"]
    assert found["source"] == "S1_he_unaligned_image.ome.tif"


def test_two_alignments(slide) -> None:
    first = aligned(slide[0], TURN)
    aligned(slide[0], TURN, f"{first.name}.gz")  # the same, zipped
    assert stf.io.read_xenium(slide[0])["table"].n_obs == 30
    second = aligned(slide[0], np.eye(3), "matrix.csv")
    with pytest.raises(
        ValueError, match=rf"Several alignments .*{first.name}.*{second.name}.*`alignment=`"
    ):
        stf.io.read_xenium(slide[0])
    sdata = stf.io.read_xenium(slide[0], alignment=second.name)
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(PIXEL_UM)


def test_beside_an_image_elsewhere_only_its_own_alignment_counts(slide, tmp_path: Path) -> None:
    image = tmp_path / "he.ome.tif"
    outputs.write_image(image, 290, 300)
    aligned(tmp_path, TURN, "matrix.csv")
    with pytest.raises(ValueError, match="Nothing tells where image"):
        stf.io.read_xenium(slide[0], image=image)
    aligned(tmp_path, TURN, "he_matrix.csv")
    found = stf.io.read_xenium(slide[0], image=image).attrs["slide_properties"]
    assert found["mpp"] == pytest.approx(2 * PIXEL_UM)


def test_alignment_as_an_array(slide) -> None:
    read = {
        name: stf.io.read_xenium(slide[0], alignment=each)["table"].obsm["spatial"]
        for name, each in {
            "array": TURN,
            "list": TURN.tolist(),
            "file": aligned(slide[0], TURN),
        }.items()
    }
    np.testing.assert_array_equal(read["array"], read["file"])
    np.testing.assert_array_equal(read["list"], read["file"])
    with pytest.raises(
        ValueError, match=r"`alignment=` is no affine matrix, but of shape \(2, 3\)"
    ):
        stf.io.read_xenium(slide[0], alignment=TURN[:2])
    with pytest.raises(ValueError, match="`alignment=` is no matrix of numbers"):
        stf.io.read_xenium(slide[0], alignment=[["a", "b"], ["c"]])


# which scale is used


def test_the_alignment_wins_over_the_tag_and_the_argument_over_both(slide, tmp_path: Path) -> None:
    outputs.write_image(tmp_path / "he.tif", 290, 300, **outputs.tag(0.5))
    told = {"image": tmp_path / "he.tif", "alignment": np.eye(3)}
    with pytest.warns(UserWarning, match=r"he\.tif says 0\.5 um per pixel, .*alignment.* 0\.2125"):
        found = stf.io.read_xenium(slide[0], **told).attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (pytest.approx(PIXEL_UM), "alignment")
    with pytest.warns(UserWarning, match=r"`image_mpp=` says 0\.5 .* gives 0\.2125"):
        sdata = stf.io.read_xenium(slide[0], **told, image_mpp=0.5)
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (0.5, "argument")
    np.testing.assert_allclose(sdata["table"].obs["cell_area"], slide[1]["cell_area"])


def test_an_alignment_to_micrometres_is_no_alignment_to_pixels(slide) -> None:
    with pytest.raises(
        ValueError, match=r"gives 0\.004516 um per pixel.*0\.05 to 20.*`image_mpp=`"
    ):
        stf.io.read_xenium(slide[0], alignment=np.diag([PIXEL_UM / 10, PIXEL_UM / 10, 1]))


# versions, and cells that are refused


@pytest.mark.parametrize("version", [1, 2, 4])
def test_every_version_of_the_folder(tmp_path: Path, version: int) -> None:
    root = tmp_path / "output"
    cells, counts = outputs.xenium(root, version=version)
    outputs.write_image(root / "he_image.ome.tif", 290, 300)
    table = stf.io.read_xenium(root, alignment=np.eye(3))["table"]
    assert list(table.obs_names) == list(cells.index)
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])
    assert list(table.var["gene_ids"]) == ["ENSG0", "ENSG1", "ENSG2", "ENSG3"]


@pytest.mark.parametrize("version", [1, 2])
def test_text_instead_of_parquet_and_hdf5(tmp_path: Path, version: int) -> None:
    root = tmp_path / "output"
    cells, counts = outputs.xenium(root, version=version)
    outputs.write_image(root / "he_image.ome.tif", 290, 300)
    pd.read_parquet(root / "cells.parquet").to_csv(root / "cells.csv.gz", index=False)
    (root / "cells.parquet").unlink()
    for name in ("cell_boundaries", "nucleus_boundaries"):
        pd.read_parquet(root / f"{name}.parquet").to_csv(root / f"{name}.csv.gz", index=False)
        (root / f"{name}.parquet").unlink()
    (root / "cell_feature_matrix.h5").unlink()
    outputs.write_mex(root / "cell_feature_matrix", list(cells.index), counts)
    sdata = stf.io.read_xenium(root, alignment=np.eye(3))
    table = sdata["table"]
    assert (sdata["spots"].geom_type == "Polygon").all()
    assert len(sdata["nuclei"]) == (30 if version == 1 else 29)
    assert list(table.obs_names) == list(cells.index)
    np.testing.assert_allclose(
        table.obsm["spatial"] * PIXEL_UM, cells[["x_centroid", "y_centroid"]]
    )
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])


def test_cells_that_cannot_be_placed_are_left_out(slide) -> None:
    root, cells, _ = slide
    path = root / "cells.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "cell_area"] = np.nan
    table.loc[1, "cell_area"] = 0
    table.loc[2, ["x_centroid", "y_centroid"]] = table.loc[5, ["x_centroid", "y_centroid"]]
    table.loc[7, "x_centroid"] = np.nan
    table.iloc[:-1].to_parquet(path)
    names = list(cells.index)
    with pytest.warns(
        UserWarning,
        match=rf"5 of 30 cells .*no centroid: '{names[7]}', '{names[-1]}'; no area: '{names[0]}', "
        rf"'{names[1]}'; the centroid of another one: '{names[5]}'",
    ):
        sdata = stf.io.read_xenium(root, alignment=np.eye(3))
    kept = [name for i, name in enumerate(names) if i not in (0, 1, 5, 7, 29)]
    assert list(sdata["table"].obs_names) == list(sdata["spots"].index) == kept
    assert (sdata["spots"].area > 0).all()
    assert set(sdata["nuclei"].index) <= set(kept)


# outlines


def test_cells_without_outlines_are_circles_of_their_area(slide) -> None:
    root, cells, _ = slide
    (root / "cell_boundaries.parquet").unlink()
    sdata = stf.io.read_xenium(root, alignment=np.eye(3))
    np.testing.assert_allclose(
        np.pi * (sdata["spots"]["radius"] * PIXEL_UM) ** 2, cells["cell_area"]
    )
    assert len(sdata["nuclei"]) == 29
    (root / "nucleus_boundaries.parquet").unlink()
    assert list(stf.io.read_xenium(root, alignment=np.eye(3)).shapes) == ["spots"]


def test_the_centre_of_a_spot_is_that_of_its_outline(slide) -> None:
    path = slide[0] / "cell_boundaries.parquet"
    corners = pd.read_parquet(path)
    corners["vertex_x"] += 2
    corners[corners["cell_id"] != slide[1].index[7]].to_parquet(path)
    with pytest.warns(UserWarning, match=f"1 of 30 cells .*no outline: '{slide[1].index[7]}'"):
        table = stf.io.read_xenium(slide[0], alignment=np.eye(3))["table"]
    expected = slide[1].loc[table.obs_names, ["x_centroid", "y_centroid"]] + [2, 0]
    np.testing.assert_allclose(table.obsm["spatial"] * PIXEL_UM, expected)


@pytest.mark.parametrize("numbered", [True, False])
def test_several_nuclei_of_a_cell_are_pieces_of_one(slide, numbered: bool) -> None:
    """Whether or not the file numbers them."""
    path = slide[0] / "nucleus_boundaries.parquet"
    corners = pd.read_parquet(path)
    first, second = slide[1].index[:2]
    corners.loc[corners["cell_id"] == second, "cell_id"] = first
    corners[corners.columns if numbered else corners.columns.drop("label_id")].to_parquet(path)
    if numbered:
        nuclei = stf.io.read_xenium(slide[0], alignment=np.eye(3))["nuclei"]
    else:
        with pytest.warns(UserWarning, match=f"1 of 28 nuclei in .* mended: '{first}'"):
            nuclei = stf.io.read_xenium(slide[0], alignment=np.eye(3))["nuclei"]
    assert len(nuclei) == 28
    assert len(nuclei.geometry[first].geoms) == 2
    assert nuclei.geometry[first].area * PIXEL_UM**2 == pytest.approx(18)
    assert nuclei.is_valid.all()


def test_outlines_that_are_less_than_a_triangle(slide) -> None:
    path = slide[0] / "nucleus_boundaries.parquet"
    corners = pd.read_parquet(path)
    names = slide[1].index
    short = corners["cell_id"] == names[0]
    corners.loc[corners["cell_id"] == names[1], "vertex_x"] = np.nan
    corners = corners.drop(index=np.flatnonzero(short)[2:])
    corners.to_parquet(path)
    told = f"2 of 29 nuclei .* no area and are left out: '{names[0]}', '{names[1]}'"
    with pytest.warns(UserWarning, match=told):
        sdata = stf.io.read_xenium(slide[0], alignment=np.eye(3))
    assert (len(sdata["spots"]), len(sdata["nuclei"])) == (30, 27)


def test_a_folder_without_a_single_nucleus(slide) -> None:
    path = slide[0] / "nucleus_boundaries.parquet"
    pd.read_parquet(path).iloc[:0].to_parquet(path)
    assert list(stf.io.read_xenium(slide[0], alignment=np.eye(3)).shapes) == ["spots"]
    path = slide[0] / "cell_boundaries.parquet"
    pd.read_parquet(path).iloc[:0].to_parquet(path)
    with pytest.raises(ValueError, match=r"30 of 30 cells cannot be placed .*no outline"):
        stf.io.read_xenium(slide[0], alignment=np.eye(3))


def test_boundaries_that_are_damaged(slide) -> None:
    path = slide[0] / "cell_boundaries.parquet"
    pd.read_parquet(path).drop(columns="vertex_x").to_parquet(path)
    with pytest.raises(ValueError, match=r"cell_bound.* no column 'vertex_x', only 'cell_id'"):
        stf.io.read_xenium(slide[0], alignment=np.eye(3))
    path.write_bytes(outputs.NOT_READ)
    with pytest.raises(ValueError, match=r"cannot be read as boundaries of Xenium"):
        stf.io.read_xenium(slide[0], alignment=np.eye(3))


def test_cells_of_another_slide(slide) -> None:
    path = slide[0] / "cells.parquet"
    cells = pd.read_parquet(path)
    cells.assign(cell_id=cells["cell_id"].str.replace("-1", "-2")).to_parquet(path)
    with pytest.raises(ValueError, match=r"30 of 30 cells cannot be placed.*like 'aaaaaaaa-2'"):
        stf.io.read_xenium(slide[0], alignment=np.eye(3))
    cells.drop(columns="cell_area").to_parquet(path)
    with pytest.raises(ValueError, match=r"has no column 'cell_area', only 'cell_id'"):
        stf.io.read_xenium(slide[0], alignment=np.eye(3))
    path.write_bytes(outputs.NOT_READ)
    with pytest.raises(ValueError, match=r"cells\.parquet cannot be read as cells of Xenium"):
        stf.io.read_xenium(slide[0], alignment=np.eye(3))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(2), "is no affine matrix"),
        (np.ones((3, 3)), "is no affine matrix"),
        (np.diag([1, 0, 1]), "cannot be inverted"),
        (np.array([[1, 0, np.inf], [0, 1, 0], [0, 0, 1]]), "cannot be inverted"),
        (np.array([["fixedX", "fixedY"], ["1", "2"]]), r"cannot be read .*`alignment=`"),
    ],
)
def test_an_alignment_that_aligns_nothing(slide, matrix: np.ndarray, message: str) -> None:
    aligned(slide[0], matrix)
    with pytest.raises(ValueError, match=rf"imagealignment\.csv.* {message}"):
        stf.io.read_xenium(slide[0])


def test_missing_files(slide, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no alignment file"):
        stf.io.read_xenium(slide[0], alignment=tmp_path / "gone.csv")
    for name in ("cells.parquet", "cells.csv.gz"):
        (slide[0] / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"not the whole output.*'cells\.parquet'"):
        stf.io.read_xenium(slide[0])


@pytest.mark.parametrize("text", ["{", json.dumps({"run": 1}), json.dumps({"pixel_size": -1})])
def test_a_folder_that_does_not_say_its_pixel_size(slide, text: str) -> None:
    (slide[0] / "experiment.xenium").write_text(text)
    with pytest.raises(ValueError, match=r"experiment\.xenium holds no `pixel_size`"):
        stf.io.read_xenium(slide[0])
