"""A Visium HD folder of known geometry: bins of a size, scale from their pitch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pandas as pd
import pytest

import stflow as stf

pytest.importorskip("spatialdata_io")


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
    with pytest.raises(ValueError, match=r"no bins of 2 um; .*'square_008um', 'square_016um'"):
        stf.io.read_visium_hd(slide[0], bin_um=2)
    with pytest.raises(ValueError, match="`bin_um` must be a whole number"):
        stf.io.read_visium_hd(slide[0], bin_um=0)


def test_names_with_a_prefix(tmp_path: Path) -> None:
    outputs.visium_hd(tmp_path / "outs", prefix="S1_")
    outputs.write_image(tmp_path / "outs" / "S1_tissue_image.tif", 200, 190)
    sdata = stf.io.read_visium_hd(tmp_path / "outs")
    assert sdata.attrs["slide_properties"]["source"] == "S1_tissue_image.tif"


def test_the_pitch_stands_against_another_scale(slide) -> None:
    sdata = stf.io.read_visium_hd(slide[0])
    stf.pp.neighbors(sdata, image_mpp=0.55)
    with pytest.raises(ValueError, match=r"`image_mpp=` says 1 um per pixel, .* \(8 um\) gives"):
        stf.pp.neighbors(sdata, image_mpp=1.0)


@pytest.mark.parametrize("name", ["feature_slice.h5", "binned_outputs/square_008um/spatial/*"])
def test_an_incomplete_folder(slide, name: str) -> None:
    for path in slide[0].glob(name):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="not the whole output"):
        stf.io.read_visium_hd(slide[0])


def test_no_image(slide) -> None:
    (slide[0] / "microscope_image" / "he.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r"No full-resolution H&E .*microscope_image"):
        stf.io.read_visium_hd(slide[0])
