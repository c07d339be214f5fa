"""A Visium folder of known geometry: scale from the pitch, counts and spots in their places."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import outputs
import pandas as pd
import pytest
import spatialdata
import tifffile
from spatialdata.transformations import Identity, get_transformation

import stflow as stf
from stflow._sdata._images import get_pyramid, spot_centres_um
from stflow._sdata._tables import get_regions

PITCH_PX = 40.0


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """Folder, places of the spots, counts; the image lies in the folder."""
    root = tmp_path / "outs"
    places, counts = outputs.visium(root, pitch_px=PITCH_PX)
    outputs.write_image(root / "tissue_image.tif", 330, 300)
    return root, places, counts


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


# files beside the ones that are read


def test_the_plain_matrix_wins_over_those_with_a_prefix(slide) -> None:
    root, places, counts = slide
    for name in ("A_", "z_", "._", "backup."):
        outputs.write_matrix(
            root / f"{name}filtered_feature_bc_matrix.h5", list(places.index), 7 + counts
        )
    for name in ("filtered_feature_bc_matrix.h5.tmp", "filtered_feature_bc_matrix.h5ad"):
        (root / name).write_bytes(outputs.NOT_READ)
    table = stf.io.read_visium(root)["table"]
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])


def test_of_several_with_a_prefix_one_must_be_named(tmp_path: Path) -> None:
    root = tmp_path / "outs"
    places, counts = outputs.visium(root, prefix="S1_")
    outputs.write_image(root / "S1_image.tif", 330, 300)
    np.testing.assert_array_equal(stf.io.read_visium(root)["table"].X.toarray(), counts[:, :4])
    other = root / "S2_filtered_feature_bc_matrix.h5"
    outputs.write_matrix(other, list(places.index), 7 + counts)
    with pytest.raises(ValueError, match=r"S1_filt.*S2_filt.*Pass one as `counts_file=`"):
        stf.io.read_visium(root)
    for named in (other, other.name):
        table = stf.io.read_visium(root, counts_file=named)["table"]
        np.testing.assert_array_equal(table.X.toarray(), 7 + counts[:, :4])


def test_hidden_files_beside_image_and_positions(slide) -> None:
    for name in ("._tissue_image.tif", "spatial/._tissue_positions.csv", "._image.png"):
        (slide[0] / name).write_bytes(outputs.NOT_READ)
    assert stf.io.read_visium(slide[0])["table"].n_obs == 36


def test_pictures_of_space_ranger_are_never_taken_for_the_slide(slide) -> None:
    for name in outputs.PICTURES:
        (slide[0] / f"S1_{name}").write_bytes(outputs.NOT_READ)
    found = stf.io.read_visium(slide[0]).attrs["slide_properties"]
    assert found["source"] == "tissue_image.tif"


def test_factors_of_the_previews_are_not_needed(slide) -> None:
    (slide[0] / "spatial" / "scalefactors_json.json").unlink()
    assert stf.io.read_visium(slide[0])["table"].n_obs == 36


# other shapes of the same data


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("columns", [3, 2])
def test_counts_as_text(slide, gz: bool, columns: int) -> None:
    root, places, counts = slide
    (root / "filtered_feature_bc_matrix.h5").unlink()
    folder = root / "filtered_feature_bc_matrix"
    outputs.write_mex(folder, list(places.index), counts, gz=gz, columns=columns)
    table = stf.io.read_visium(root)["table"]
    n_genes = 4 if columns == 3 else 5  # two columns do not tell what is a gene
    assert list(table.obs_names) == list(places.index)
    assert list(table.var_names) == ["ERBB2", "FASN", "CD74", "FASN-1", "MKI67"][:n_genes]
    assert list(table.var["gene_ids"]) == [f"ENSG{i}" for i in range(n_genes)]
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :n_genes])


def test_text_that_is_not_gzipped_as_its_name_says(slide) -> None:
    root, places, counts = slide
    folder = root / "filtered_feature_bc_matrix"
    matrix = outputs.write_mex(folder, list(places.index), counts, gz=False)
    for path in folder.iterdir():
        path.rename(path.with_name(f"{path.name}.gz"))
    table = stf.io.read_visium(root, counts_file=folder)["table"]
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])
    with pytest.raises(FileNotFoundError, match=r"no file .*matrix\.mtx, named by `counts_file=`"):
        stf.io.read_visium(root, counts_file=matrix)


def test_counts_as_text_that_do_not_belong_together(slide) -> None:
    root, places, counts = slide
    folder = root / "mex"
    matrix = outputs.write_mex(folder, list(places.index)[:-1], counts, prefix="S1_", gz=False)
    with pytest.raises(ValueError, match=r"36 spots by 5 genes, but 35 barcodes and 5 features"):
        stf.io.read_visium(root, counts_file=matrix)
    (folder / "S1_barcodes.tsv").unlink()
    with pytest.raises(ValueError, match=r"mtx cannot be read.*no 'S1_barcodes\.tsv'"):
        stf.io.read_visium(root, counts_file=matrix)
    with pytest.raises(ValueError, match=r"positions\.csv is no file of counts.*`counts_file=`"):
        stf.io.read_visium(root, counts_file=root / "spatial" / "tissue_positions.csv")


def test_raw_counts_are_read_on_request_and_only_those_under_tissue(slide) -> None:
    root, places, counts = slide
    raw, names = root / "raw_feature_bc_matrix.h5", [*places.index, "NO-1", "NO-2", "NO-3"]
    outputs.write_matrix(raw, names, np.vstack([counts, counts[:3]]))
    (root / "filtered_feature_bc_matrix.h5").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"raw_feature_bc_matrix\.h5 counts every spot.*`co"
    ):
        stf.io.read_visium(root)
    table = stf.io.read_visium(root, counts_file=raw.name)["table"]
    assert list(table.obs_names) == list(places.index)
    assert table.obs["in_tissue"].dtype.kind == "i"


def test_probes_are_no_genes(slide) -> None:
    path = slide[0] / "filtered_feature_bc_matrix.h5"
    with h5py.File(path, "a") as file:
        file["matrix/features/gene_id"] = file["matrix/features/id"][:]
    with pytest.raises(ValueError, match=r"counts probes, not genes.*`counts_file=`"):
        stf.io.read_visium(slide[0])


SEURAT = ["barcodes", "tissue", "row", "col", "imagerow", "imagecol"]


@pytest.mark.parametrize("header", [SEURAT, None])
@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions_list.csv"])
def test_positions_with_a_header_of_another_or_none(slide, header, name: str) -> None:
    path = slide[0] / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    path.unlink()
    rows.to_csv(path.with_name(name), index=False, header=header or False)
    sdata = stf.io.read_visium(slide[0])
    xy = slide[1][["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], xy)


def test_positions_whose_columns_are_not_known(slide) -> None:
    path = slide[0] / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    rows.rename(columns={"pxl_col_in_fullres": "x"}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"columns .*'x'; expected: .*'pxl_col_in_fullres'"):
        stf.io.read_visium(slide[0])
    rows.iloc[:, :5].to_csv(path, index=False, header=False)
    with pytest.raises(ValueError, match=r"has the columns '0', .*these six in this order"):
        stf.io.read_visium(slide[0])


# one refused spot does not cost the slide


def test_spots_without_a_place_of_their_own_are_left_out(slide) -> None:
    root, places, _ = slide
    path = root / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    rows.loc[rows["barcode"] == "AC007-1", ["pxl_row_in_fullres", "pxl_col_in_fullres"]] = (
        places.loc["AC005-1", ["pxl_row_in_fullres", "pxl_col_in_fullres"]].to_numpy()
    )
    rows.iloc[:-2].to_csv(path, index=False)
    with pytest.warns(
        UserWarning,
        match=r"3 of 36 spots are left out.*no position: 'AC000-1', 'AC001-1'; .*one: 'AC007-1'",
    ):
        table = stf.io.read_visium(root)["table"]
    assert list(table.obs_names) == [
        name for name in places.index if name not in ("AC000-1", "AC001-1", "AC007-1")
    ]


def test_positions_of_other_spots(slide) -> None:
    path = slide[0] / "spatial" / "tissue_positions.csv"
    rows = pd.read_csv(path)
    rows.assign(barcode=rows["barcode"].str.removesuffix("-1")).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"36 of 36 spots cannot be placed.*'AC000-1'.*like 'NO'"):
        stf.io.read_visium(slide[0])
    rows.assign(in_tissue=0).to_csv(path, index=False)
    with pytest.raises(ValueError, match="No spot lies under tissue"):
        stf.io.read_visium(slide[0])
    pd.concat([rows, rows]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="Duplicated barcodes"):
        stf.io.read_visium(slide[0])


# which scale is used


def test_the_pitch_wins_over_the_tag_of_the_image(slide, tmp_path: Path) -> None:
    image = tmp_path / "he.tif"
    outputs.write_image(image, 400, 400, **outputs.tag(2.5 * 1.15))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = stf.io.read_visium(slide[0], image=image).attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (pytest.approx(2.5), "pitch of the spots")
    for told, numbers in (((1.25, None), r"1\.25"), ((2.5, 1.0), r"2\.5 x 1")):
        outputs.write_image(image, 400, 400, **outputs.tag(*told))
        with pytest.warns(
            UserWarning,
            match=rf"he\.tif says {numbers} um per pixel, .*pitch.* gives 2\.5, .*`image_mpp=`",
        ) as said:
            found = stf.io.read_visium(slide[0], image=image).attrs["slide_properties"]
        assert found["mpp"] == pytest.approx(2.5)
        assert {each.filename for each in said if each.category is UserWarning} == {__file__}


def test_the_argument_wins_over_both(slide, tmp_path: Path) -> None:
    outputs.write_image(tmp_path / "he.tif", 400, 400, **outputs.tag(1.0))
    with pytest.warns(
        UserWarning, match=r"`image_mpp=` says 0\.5 .* gives 2\.5\. The argument"
    ) as told:
        sdata = stf.io.read_visium(slide[0], image=tmp_path / "he.tif", image_mpp=0.5)
    assert sum(each.category is UserWarning for each in told) == 1
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (0.5, "argument")
    np.testing.assert_allclose(sdata["spots"]["radius"], 27.5 / 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stf.io.read_visium(slide[0], image=tmp_path / "he.tif", image_mpp=2.4)
    with pytest.raises(ValueError, match=r"`image_mpp` is 50; .* measure 0\.05 to 20"):
        stf.io.read_visium(slide[0], image_mpp=50)


def test_spots_that_do_not_tell_the_scale_need_the_argument(slide) -> None:
    root, places, counts = slide
    outputs.write_matrix(root / "filtered_feature_bc_matrix.h5", list(places.index[:4]), counts[:4])
    with pytest.raises(ValueError, match=r"4 spots on one line.*Pass `image_mpp=`"):
        stf.io.read_visium(root)
    found = stf.io.read_visium(root, image_mpp=2.5).attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (2.5, "argument")


def test_a_pitch_that_no_scanner_has(tmp_path: Path) -> None:
    outputs.visium(tmp_path / "outs", pitch_px=4)
    outputs.write_image(tmp_path / "outs" / "image.png", 40, 40)
    with pytest.raises(ValueError, match=r"gives 25 um per pixel.* 0\.05 to 20.*`image_mpp=`"):
        stf.io.read_visium(tmp_path / "outs")


# previews


@pytest.mark.parametrize(("kind", "factor"), [("hires", 0.2), ("lowres", 0.05)])
def test_a_preview_is_read_on_request(tmp_path: Path, kind: str, factor: float) -> None:
    root = tmp_path / "outs"
    places, _ = outputs.visium(root, pitch_px=200)
    preview = root / "spatial" / f"tissue_{kind}_image.png"
    outputs.write_image(preview, round(1500 * factor), round(1400 * factor))
    with pytest.warns(
        UserWarning,
        match=rf"preview of {0.5 / factor:g} um per pixel: a spot is {110 * factor:.1f}",
    ):
        sdata = stf.io.read_visium(root, image=kind)
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], xy * factor)
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["source"]) == (pytest.approx(0.5 / factor), preview.name)
    np.testing.assert_allclose(sdata["spots"]["radius"], 27.5 * factor / 0.5)
    with pytest.warns(UserWarning, match="preview"):
        named = stf.io.read_visium(root, image=preview)
    np.testing.assert_array_equal(named["table"].obsm["spatial"], sdata["table"].obsm["spatial"])


def test_the_way_out_of_a_slide_without_its_image(slide) -> None:
    (slide[0] / "tissue_image.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r'`image="hires"`.*tissue_hires_image\.png'):
        stf.io.read_visium(slide[0])
    (slide[0] / "spatial" / "tissue_hires_image.png").unlink()
    with pytest.raises(FileNotFoundError, match=r'`image="lowres"`'):
        stf.io.read_visium(slide[0])
    with pytest.raises(FileNotFoundError, match=r"There is no tissue_hires_image\.png in"):
        stf.io.read_visium(slide[0], image="hires")


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"tissue_hires_scalef": 0}', '{"tissue_hires_scalef": null}', None]
)
def test_a_preview_without_its_factor(slide, text: str | None) -> None:
    outputs.write_image(slide[0] / "spatial" / "tissue_hires_image.png", 66, 60)
    path = slide[0] / "spatial" / "scalefactors_json.json"
    path.unlink()
    if text is not None:
        path.write_text(text)
    error = FileNotFoundError if text is None else ValueError
    with pytest.raises(error, match=r"scalefactors_json\.json"):
        stf.io.read_visium(slide[0], image="hires")
