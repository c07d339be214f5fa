"""One slide really predicted, beside the calls that a user would type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import EVERY_STAGE, HOW, MPP, content, write_scans
from spatialdata import read_zarr
from support import colours

import stflow as stf

QUIET = {"device": "cpu", "show_progress_bar": False}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return write_scans(tmp_path_factory.mktemp("scans"), 1)


def test_h_and_e_alone(scans: pd.DataFrame, tmp_path: Path, model: stf.STFlow):
    table = stf.cohort.run(scans, tmp_path / "out", model=model, **EVERY_STAGE)
    assert list(table["error"]) == [""]
    sdata = stf.io.read_wsi(scans["path"][0], image_mpp=MPP)
    stf.pp.detect_tissue(sdata)
    stf.pp.mask_artifacts(sdata)
    stf.pp.grid(sdata, 200, lattice="square", exclude="artifacts", max_covered=1.0)
    stf.pp.embed(sdata, encoder=colours, mpp=8.0, tile_px=28, **QUIET)
    stf.pp.neighbors(sdata)
    stf.tl.predict(sdata, model, n_samples=2, n_steps=2, **QUIET)
    found = read_zarr(tmp_path / "out" / "slide0.zarr")
    assert np.array_equal(found["table"].obsm["stflow"], sdata["table"].obsm["stflow"])
    assert {"spots", "tissue", "artifacts"} <= set(found.shapes)
    assert not list(found.images)
    properties = found.attrs["slide_properties"]
    assert (properties["patient"], properties["source"]) == ("P0", "scan0.png")
    assert table["artifacts"][0] == pytest.approx(sdata["table"].obs["artifacts"].mean(), abs=1e-4)
    assert table["spots"][0] == sdata["table"].n_obs


def test_a_store_with_spots_and_its_image(tissue, tmp_path: Path, model: stf.STFlow):
    tissue["S1"].write(tmp_path / "in.zarr")
    given = pd.DataFrame({"slide": ["S1"], "path": [str(tmp_path / "in.zarr")]})
    table = stf.cohort.run(given, tmp_path / "out", model=model, keep_image=True, **HOW)
    assert list(table["error"]) == [""]
    assert table["tissue_s"].isna().all()
    found = content(tmp_path / "out" / "S1.zarr")
    stf.tl.predict(tissue["S1"], model, n_samples=2, n_steps=2, **QUIET)
    assert np.array_equal(found["stflow"], tissue["S1"]["table"].obsm["stflow"])
    assert list(read_zarr(tmp_path / "out" / "S1.zarr").images) == ["he"]


def test_a_finer_grid_is_linked_at_the_pitch_of_the_model(scans, tmp_path, model):
    given = scans.assign(pitch_um=50)
    stf.cohort.run(given, tmp_path / "out", model=model, **HOW)
    table = read_zarr(tmp_path / "out" / "slide0.zarr")["table"]
    assert table.uns["spatial_neighbors"]["params"]["pitch_um"] == model.pitch_um


def test_what_a_dry_run_tells(scans: pd.DataFrame, tmp_path: Path, model: stf.STFlow):
    gone = pd.DataFrame({"slide": ["gone"], "path": [str(tmp_path / "gone.svs")]})
    given = pd.concat([scans, gone], ignore_index=True)
    frame = stf.cohort.run(given, tmp_path / "out", model=model, dry_run=True, **EVERY_STAGE)
    assert not (tmp_path / "out").exists()
    first, second = frame.iloc[0], frame.iloc[1]
    sizes = stf.io.read_wsi(scans["path"][0], image_mpp=MPP)["he"]["scale0"].sizes
    assert (first["width_px"], first["height_px"]) == (sizes["x"], sizes["y"])
    assert (first["kind"], first["image_mpp"], first["problem"]) == ("wsi", MPP, "")
    assert first["spots"] > 10
    assert 0 < first["minutes"] == round(first["minutes"], 3)
    assert first["memory_gib"] > 0.1
    assert "There is nothing at" in second["problem"]
    assert frame.attrs["minutes"] == pytest.approx(frame["minutes"].sum())
    assert frame.attrs["free_gib"] > 0
