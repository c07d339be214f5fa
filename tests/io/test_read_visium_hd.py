"""A Visium HD folder of known geometry: bins of a size and their sums, scale from their pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pandas as pd
import pytest

import stflow as stf


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """Folder with bins of 8 um, 16 px each, and of 16 um; the microscope's image in its place."""
    root = tmp_path / "outs"
    places, counts = outputs.visium_hd(root)
    outputs.visium_hd(root, bin_px=32, bin_um=16, n=4)
    (root / "microscope_image").mkdir()
    outputs.write_image(root / "microscope_image" / "he.tif", 200, 190)
    return root, places, counts


def test_bins_and_scale(slide) -> None:
    root, places, counts = slide
    sdata = stf.io.read_visium_hd(root)
    assert (list(sdata.images), list(sdata.shapes), list(sdata.tables)) == (
        ["he"],
        ["spots"],
        ["table"],
    )
    found = sdata.attrs["slide_properties"]
    assert found["mpp"] == pytest.approx(0.5)
    assert (found["technology"], found["pitch_um"], found["source"]) == ("visium_hd", 8.0, "he.tif")
    table = sdata["table"]
    assert list(table.obs_names) == list(places.index) == list(sdata["spots"].index)
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(table.obsm["spatial"], xy)
    np.testing.assert_allclose(sdata["spots"]["radius"], 8.0)
    np.testing.assert_array_equal(table.X.toarray(), counts[:, :4])


def test_bins_of_another_size(slide) -> None:
    sdata = stf.io.read_visium_hd(slide[0], bin_um=16)
    assert sdata["table"].n_obs == 16
    assert sdata.attrs["slide_properties"]["mpp"] == pytest.approx(0.5)
    assert sdata.attrs["slide_properties"]["pitch_um"] == 16.0


def test_bins_that_are_not_there(slide) -> None:
    with pytest.raises(
        ValueError,
        match=r"no bins of 2 um, and none .*'square_008um', 'square_016um'\. Pass .*`bin_um=16`",
    ):
        stf.io.read_visium_hd(slide[0], bin_um=2)
    with pytest.raises(ValueError, match="`bin_um` must be a whole number"):
        stf.io.read_visium_hd(slide[0], bin_um=0)


@pytest.fixture
def fine(tmp_path: Path) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """Folder with 24 x 24 bins of 2 um alone, 4 px each, and the image."""
    places, counts = outputs.visium_hd(tmp_path / "outs", bin_um=2, bin_px=4, n=24)
    outputs.write_image(tmp_path / "outs" / "tissue_image.tif", 200, 190)
    return tmp_path / "outs", places, counts


@pytest.mark.parametrize(("bin_um", "factor"), [(4, 2), (8, 4), (24, 12), (10, 5)])
def test_bins_that_are_sums_of_the_smallest(fine, bin_um: int, factor: int) -> None:
    root, places, counts = fine
    sdata = stf.io.read_visium_hd(root, bin_um=bin_um)
    table = sdata["table"]
    row, col = (places[key].to_numpy() // factor for key in ("array_row", "array_col"))
    named = [f"s_{bin_um:03}um_{r:05}_{c:05}-1" for r, c in zip(row, col, strict=True)]
    sums = pd.DataFrame(counts[:, :4]).groupby(named).sum()
    assert list(table.obs_names) == list(sums.index) == list(sdata["spots"].index)
    np.testing.assert_array_equal(table.X.toarray(), sums)
    assert table.X.sum() == counts[:, :4].sum()
    np.testing.assert_array_equal(
        table.obs["n_summed"], pd.Series(named).value_counts()[sums.index]
    )
    found = sdata.attrs["slide_properties"]
    assert found["mpp"] == pytest.approx(0.5)
    assert found["pitch_um"] == bin_um
    np.testing.assert_allclose(sdata["spots"]["radius"], bin_um)
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]]
    whole = (table.obs["n_summed"] == factor**2).to_numpy()
    middles = xy.groupby(named).mean()[whole]
    np.testing.assert_allclose(table.obsm["spatial"][whole], middles)


def test_a_sum_lies_in_the_middle_however_few_of_its_bins_are_under_tissue(fine) -> None:
    whole = stf.io.read_visium_hd(fine[0])["table"]
    path = fine[0] / "binned_outputs" / "square_002um" / "spatial" / "tissue_positions.parquet"
    places = pd.read_parquet(path)
    places["in_tissue"] = ((places["array_row"] % 4 == 0) & (places["array_col"] < 22)).astype(int)
    places.to_parquet(path)
    table = stf.io.read_visium_hd(fine[0])["table"]
    assert set(table.obs["n_summed"]) == {2, 4}
    np.testing.assert_allclose(table.obsm["spatial"], whole[table.obs_names].obsm["spatial"])
    assert table.X.sum() < whole.X.sum()


def test_bins_of_the_folder_are_read_and_not_summed(slide) -> None:
    assert "n_summed" not in stf.io.read_visium_hd(slide[0], bin_um=16)["table"].obs
    summed = stf.io.read_visium_hd(slide[0], bin_um=32)["table"]
    assert summed.X.sum() == slide[2][:, :4].sum()
    assert summed.n_obs == 4


def test_the_folder_of_bins_itself(slide) -> None:
    inner = slide[0] / "binned_outputs"
    image = slide[0] / "microscope_image" / "he.tif"
    sdata = stf.io.read_visium_hd(inner, image=image)
    assert list(sdata["table"].obs_names) == list(slide[1].index)
    with pytest.raises(
        FileNotFoundError, match=r"no 'binned_outputs'.*with all output of the slide"
    ):
        stf.io.read_visium_hd(inner / "square_008um")


def test_a_folder_above_with_a_speaking_name(tmp_path: Path) -> None:
    root = tmp_path / "binned_outputs" / "square_002um" / "S1"
    places, _ = outputs.visium_hd(root)
    outputs.write_image(root / "S1_tissue_image.tif", 200, 190)
    sdata = stf.io.read_visium_hd(root)
    assert list(sdata["table"].obs_names) == list(places.index)
    assert sdata.attrs["slide_properties"]["source"] == "S1_tissue_image.tif"


def test_what_is_not_read_is_not_needed(slide) -> None:
    for name in outputs.BESIDE_VISIUM_HD:
        (slide[0] / name).unlink()
    assert stf.io.read_visium_hd(slide[0])["table"].n_obs == 49


def test_bins_as_text_on_the_preview(tmp_path: Path) -> None:
    root = tmp_path / "outs"
    places, counts = outputs.visium_hd(root, bin_um=2, bin_px=4)
    bins = root / "binned_outputs" / "square_002um"
    (bins / "filtered_feature_bc_matrix.h5").unlink()
    outputs.write_mex(bins / "filtered_feature_bc_matrix", list(places.index), counts)
    outputs.write_image(bins / "spatial" / "tissue_hires_image.png", 10, 10)
    with pytest.raises(FileNotFoundError, match=r'`image="hires"`'):
        stf.io.read_visium_hd(root, bin_um=2)
    with pytest.warns(UserWarning, match=r"preview of 2\.5 um per pixel"):
        sdata = stf.io.read_visium_hd(root, bin_um=2, image="hires")
    np.testing.assert_array_equal(sdata["table"].X.toarray(), counts[:, :4])
    xy = places[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    np.testing.assert_allclose(sdata["table"].obsm["spatial"], xy / 5)


def test_the_argument_wins_over_the_pitch(slide) -> None:
    with pytest.warns(UserWarning, match=r"`image_mpp=` says 0\.25 .*\(8 um\) gives 0\.5"):
        sdata = stf.io.read_visium_hd(slide[0], image_mpp=0.25)
    found = sdata.attrs["slide_properties"]
    assert (found["mpp"], found["mpp_source"]) == (0.25, "argument")


def test_another_scale_than_that_of_the_pitch_is_taken_with_a_warning(slide) -> None:
    sdata = stf.io.read_visium_hd(slide[0])
    stf.pp.neighbors(sdata, image_mpp=0.55)
    with pytest.warns(UserWarning, match=r"`image_mpp=` says 1 um per pixel, .* \(8 um\) gives"):
        stf.pp.neighbors(sdata, image_mpp=1.0, overwrite=True)


@pytest.mark.parametrize("name", ["spatial/tissue_positions.parquet", "filtered*.h5"])
def test_an_incomplete_folder(slide, name: str) -> None:
    for path in (slide[0] / "binned_outputs" / "square_008um").glob(name):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"square_008um.* not the whole output"):
        stf.io.read_visium_hd(slide[0])


def test_no_image(slide) -> None:
    (slide[0] / "microscope_image" / "he.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r"No full-resolution H&E .*microscope_image"):
        stf.io.read_visium_hd(slide[0])
