from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import stflow as stf

Run = Callable[..., Result]


def test_a_store(disk: Path, run: Run, tissue, model: stf.STFlow):
    sdata = tissue["S1"]
    stf.tl.predict(sdata, model, n_samples=1, n_steps=1, device="cpu", show_progress_bar=False)
    sdata.write("predicted.zarr")
    lines = run("info", "predicted.zarr").stdout.splitlines()
    height, width = (sdata["he"]["scale0"]["image"].sizes[side] for side in "yx")
    assert (
        f"image he: {width} x {height} px, 4 levels, 4 um per pixel, from the slide's record"
        in lines
    )
    assert "shapes spots: 64" in lines
    assert "table table: 64 spots, 12 genes" in lines
    assert "  region spots: 64 spots, on he, 4 um per pixel" in lines
    embedding = next(line for line in lines if line.startswith("  embedding X_embedding: 12 wide;"))
    assert (
        "encoder=support.colours, how=tiles, widths_um=[224.0], mpp=[8.0], tile_px=28" in embedding
    )
    assert any(line.startswith("  graph: ") and "neighbours a spot" in line for line in lines)
    prediction = next(line for line in lines if line.startswith("  prediction stflow: "))
    told = (
        "  prediction stflow: 8 genes in log1p counts per 10,000, without sd; STFlow: 8 genes from"
    )
    assert prediction.startswith(told)
    assert not any("the model was trained on" in line for line in lines)
    before = run("info", "S1.zarr").stdout
    assert "embedding X_embedding" in before
    assert "prediction" not in before


def test_a_slide_of_the_fit(disk: Path, run: Run, others, model: stf.STFlow):
    sdata = deepcopy(others["S4"])
    how = {"n_samples": 1, "n_steps": 1, "device": "cpu", "show_progress_bar": False}
    with pytest.warns(UserWarning, match="The model was trained on this slide"):
        stf.tl.predict(sdata, model, **how)
    sdata.write("known.zarr")
    assert "    the model was trained on slide" in run("info", "known.zarr").stdout.splitlines()


def test_a_store_that_lacks_things(disk: Path, run: Run, tissue):
    sdata = tissue["S1"]
    del sdata.attrs["slide_properties"]["mpp"]
    del sdata["table"].obsp["spatial_connectivities"]
    sdata.write("bare.zarr")
    lines = run("info", "bare.zarr").stdout.splitlines()
    assert "  graph: none" in lines
    assert any(
        line.startswith("image he: ") and "levels. Nothing tells the scale of image 'he'" in line
        for line in lines
    )
    lines = run("info", "bare.zarr", "--image-mpp", 2).stdout.splitlines()
    assert "  region spots: 64 spots, on he, 2 um per pixel" in lines


def test_a_model(disk: Path, run: Run, model: stf.STFlow):
    shown = run("info", "model").stdout
    assert shown.startswith(repr(model))
    assert (
        "embedding: encoder=support.colours, how=tiles, widths_um=[224.0], mpp=[8.0], tile_px=28"
        in shown
    )
    assert f"neighbours of the fit: {model.pitch_um:g} um apart" in shown


def test_without_a_path_it_tells_the_installation(disk: Path, run: Run):
    shown = run("info").stdout
    assert f"stflow-spatial   {stf.__version__}" in shown
    assert "device" in shown
    assert "table" not in shown


def test_an_image_file(disk: Path, run: Run):
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save("scan.png")
    shown = run("info", "scan.png", "--image-mpp", 0.5).stdout
    assert (
        "image he: 60 x 40 px, 4 levels, 0.5 um per pixel, from the slide's record (argument)"
        in shown
    )
    result = run("info", "scan.png", code=1)
    assert "scan.png does not say how many micrometres" in result.stderr
    assert "Pass `--image-mpp`" in result.stderr


@pytest.mark.parametrize(
    ("path", "message"),
    [("notes.txt", "notes.txt ends in '.txt'"), ("folder", "folder is no SpatialData store")],
)
def test_other_things_are_refused(disk: Path, run: Run, path: str, message: str):
    Path("notes.txt").write_text("hello")
    Path("folder").mkdir()
    result = run("info", path, code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
