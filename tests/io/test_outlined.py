"""Outlines of cells from each instrument go on through embedding, graph, prediction and disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import outputs
import pytest
from spatialdata import SpatialData, read_zarr
from support import colours

import stflow as stf


def visium_hd(root: Path) -> SpatialData:
    outputs.segmented(root)
    outputs.write_image(root / "tissue_image.tif", 200, 190)
    return stf.io.read_visium_hd(root, cells=True)


def xenium(root: Path) -> SpatialData:
    outputs.xenium(root)
    outputs.write_image(root / "he_image.ome.tif", 290, 300)
    return stf.io.read_xenium(root, alignment=np.eye(3))


@pytest.mark.parametrize("read", [visium_hd, xenium])
def test_cells_are_predicted_and_written(read, tmp_path: Path, model: stf.STFlow) -> None:
    sdata = read(tmp_path / "outs")
    measured = sdata["table"].X.toarray()
    outlines = sdata["spots"].copy()
    assert (outlines.geom_type == "Polygon").all()
    stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, show_progress_bar=False)
    stf.pp.neighbors(sdata)
    with pytest.warns(UserWarning, match=r"um apart, .* `stf\.pp\.neighbors\(sdata, pitch_um="):
        stf.tl.predict(sdata, model, show_progress_bar=False)
    predicted = stf.get.predicted(sdata)
    assert list(predicted.var_names) == list(model.genes)
    assert np.isfinite(predicted.X).all()
    sdata.write(tmp_path / "slide.zarr")
    back = read_zarr(tmp_path / "slide.zarr")
    assert back["spots"].geometry.geom_equals(outlines.geometry).all()
    assert set(back["nuclei"].index) <= set(back["spots"].index)
    kept = back["table"][:, sdata["table"].var_names].X
    np.testing.assert_array_equal(kept[:, : measured.shape[1]].toarray(), measured)


@pytest.mark.parametrize("read", [visium_hd, xenium])
def test_nuclei_are_spots_on_request(read, tmp_path: Path) -> None:
    sdata = read(tmp_path / "outs")
    stf.pp.grid(sdata, shapes_key="nuclei", key_added="kernels", table_key="of_kernels")
    table = sdata["of_kernels"]
    assert list(table.obs_names) == list(sdata["nuclei"].index)
    centres = sdata["nuclei"].geometry.centroid
    np.testing.assert_allclose(table.obsm["spatial"][:, 0], centres.x)
    stf.pp.neighbors(sdata, n_neighs=3, table_key="of_kernels")
