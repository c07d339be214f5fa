"""A Visium folder of known geometry: scale from the pitch, counts and spots in their places."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import outputs
import pytest
import spatialdata
import tifffile
from spatialdata.transformations import Identity, get_transformation

import stflow as stf
from stflow._sdata._images import get_pyramid
from stflow._sdata._tables import get_regions
from stflow._sdata.places._placed import spot_centres_um

PITCH_PX = 40.0


def test_scale_is_the_pitch_not_the_spot_diameter(slide) -> None:
    sdata = stf.io.read_visium(slide[0])
    found = sdata.attrs["slide_properties"]
    assert found["mpp"] == pytest.approx(100 / PITCH_PX)
    by_diameter = (
        55
        / json.loads((slide[0] / "spatial" / "scalefactors_json.json").read_text())[
            "spot_diameter_fullres"
        ]
    )
    assert by_diameter < 0.85 * found["mpp"]
    assert {**found, "mpp": 0} == {
        "mpp": 0,
        "mpp_source": "pitch of the spots",
        "technology": "visium",
        "pitch_um": 100.0,
        "source": "tissue_image.tif",
        "format": "tiff",
        "shape": [300, 330],
    }


def test_elements_and_where_they_lie(slide) -> None:
    root, places, _ = slide
    sdata = stf.io.read_visium(root)
    assert (list(sdata.images), list(sdata.shapes)) == (["he"], ["spots"])
    table, spots = sdata["table"], sdata["spots"]
    assert list(table.obs_names) == list(places.index) == list(spots.index)
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(table.obsm["spatial"], xy)
    np.testing.assert_allclose(np.column_stack([spots.geometry.x, spots.geometry.y]), xy)
    np.testing.assert_allclose(spots["radius"], 27.5 / 100 * PITCH_PX)
    assert list(table.obs) == ["in_tissue", "array_row", "array_col", "region", "spot_id"]
    for element in (sdata["he"], spots):
        assert isinstance(get_transformation(element, "global"), Identity)
    um = spot_centres_um(sdata, table, get_regions(table)[0])
    assert np.linalg.norm(um[0] - um[1]) == pytest.approx(100)


def test_counts_are_raw_and_of_genes_alone(slide) -> None:
    table = stf.io.read_visium(slide[0])["table"]
    assert list(table.var_names) == ["ERBB2", "FASN", "CD74", "FASN-1"]
    assert table.X.format == "csr"
    np.testing.assert_array_equal(table.X.toarray(), slide[2][:, :4])
    assert set(table.uns) == {"spatialdata_attrs"}
    assert list(table.var["gene_ids"]) == ["ENSG0", "ENSG1", "ENSG2", "ENSG3"]


def test_image_is_the_one_that_was_named(slide, tmp_path: Path) -> None:
    pixels = outputs.write_image(tmp_path / "he.tif", 400, 390)
    sdata = stf.io.read_visium(slide[0], image=tmp_path / "he.tif")
    assert sdata.attrs["slide_properties"]["source"] == "he.tif"
    levels = get_pyramid(sdata, "he")
    np.testing.assert_array_equal(levels[0].data, np.moveaxis(pixels, -1, 0))


def test_names_with_a_prefix_and_positions_of_an_old_version(tmp_path: Path) -> None:
    places, _ = outputs.visium(tmp_path / "outs", prefix="S1_", old=True)
    image = tmp_path / "he.tif"
    outputs.write_image(image, 400, 400)
    sdata = stf.io.read_visium(tmp_path / "outs", image=image)
    assert list(sdata["table"].obs_names) == list(places.index)
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(2.5, rel=0.01)
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(float)
    np.testing.assert_array_equal(sdata["table"].obsm["spatial"], xy)


def test_the_slide_goes_on_through_the_pipeline(slide, tmp_path: Path, colour_encoder) -> None:
    sdata = stf.io.read_visium(slide[0])
    stf.pp.embed(
        sdata, encoder=colour_encoder, mpp=2.5, tile_px=8, device="cpu", show_progress_bar=False
    )
    stf.pp.neighbors(sdata, n_neighs=6)
    embedding = sdata["table"].obsm["X_embedding"]
    x, y = sdata["table"].obsm["spatial"].T
    np.testing.assert_allclose(embedding[:, 0] * 330, x, atol=2)  # red tells the column
    np.testing.assert_allclose(embedding[:, 1] * 300, y, atol=2)
    assert sdata["table"].obsp["spatial_distances"].data.min() == pytest.approx(100)
    sdata.write(tmp_path / "slide.zarr")
    assert spatialdata.read_zarr(tmp_path / "slide.zarr")["table"].n_obs == 36


# what is refused


def test_an_image_that_the_spots_do_not_lie_on(slide, tmp_path: Path) -> None:
    outputs.write_image(tmp_path / "small.png.tif", 80, 75)
    with pytest.raises(ValueError, match=r"\d\d% of the spots lie outside image .*80 x 75 pixels"):
        stf.io.read_visium(slide[0], image=tmp_path / "small.png.tif")


def test_no_image_or_several(slide) -> None:
    outputs.write_image(slide[0] / "other_image.tif", 330, 300)
    with pytest.raises(ValueError, match=r"Several images .*other_image.*Pass one as `image=`"):
        stf.io.read_visium(slide[0])
    for path in slide[0].glob("*.tif"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"No full-resolution H&E .*`image=`"):
        stf.io.read_visium(slide[0])
    with pytest.raises(FileNotFoundError, match="There is no file"):
        stf.io.read_visium(slide[0], image=slide[0] / "gone.tif")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("filtered_feature_bc_matrix.h5", r"filtered_feature_bc_matrix\.h5.*matrix\.mtx"),
        ("spatial/tissue_positions.csv", r"tissue_positions\.csv.*tissue_positions_list\.csv"),
    ],
)
def test_an_incomplete_folder(slide, name: str, named: str) -> None:
    (slide[0] / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"not the whole output.*{named}.* holds .*"):
        stf.io.read_visium(slide[0])


def test_no_folder(slide, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        stf.io.read_visium(tmp_path / "gone")
    with pytest.raises(NotADirectoryError, match="is a file; pass the folder"):
        stf.io.read_visium(slide[0] / "tissue_image.tif")


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("filtered_feature_bc_matrix.h5", r"as counts of 10x Genomics: .*`counts_file=`"),
        ("spatial/tissue_positions.csv", r"has the columns .*expected: 'barcode', 'in_tissue'"),
    ],
)
def test_a_damaged_file(slide, name: str, named: str) -> None:
    (slide[0] / name).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=rf"{Path(name).stem}.* {named}"):
        stf.io.read_visium(slide[0])


def test_a_matrix_without_spots_or_genes(slide) -> None:
    path = slide[0] / "filtered_feature_bc_matrix.h5"
    outputs.write_matrix(path, [], np.zeros((0, 5), int))
    with pytest.raises(ValueError, match=r"matrix\.h5 is empty: 0 spots, 4 genes"):
        stf.io.read_visium(slide[0])
    outputs.write_matrix(path, list(slide[1].index), slide[2])
    with h5py.File(path, "a") as file:
        file["matrix/features/feature_type"][:] = b"Antibody Capture"
    with pytest.raises(ValueError, match=r"no feature is of type 'Gene Expression', only of 'Anti"):
        stf.io.read_visium(slide[0])


def test_counts_that_are_not_raw(slide) -> None:
    names = list(slide[1].index)
    path = slide[0] / "filtered_feature_bc_matrix.h5"
    outputs.write_matrix(path, names, np.log1p(slide[2]))
    with pytest.raises(ValueError, match="looks normalised or logged"):
        stf.io.read_visium(slide[0])


def test_a_greyscale_image(slide, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "grey.tif", np.zeros((300, 330), np.uint8))
    with pytest.raises(ValueError, match=r"grey\.tif is greyscale"):
        stf.io.read_visium(slide[0], image=tmp_path / "grey.tif")
